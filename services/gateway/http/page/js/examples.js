// What an empty conversation teaches.

import { el, icon } from "./dom.js";

const EXAMPLES = [
  ["picture", "Drop a picture", "What animal is this?"],
  ["heard", "Record or drop speech", "Who built the lighthouse?"],
  ["film", "Drop a film", "What happens in this film?"],
  ["text", "Drop a text", "What does it say about the price?"],
];

/** The greeting; `onchoose(question)` is called for an example. */
export function examples(onchoose) {
  return el(
    "section",
    { class: "empty" },
    el("h1", {}, "Ask about what you see and hear"),
    el(
      "p",
      {},
      "Drop pictures, recordings, films or texts here. They are looked at and listened to " +
        "while they are still being sent, and each answer shows where it comes from.",
    ),
    el(
      "ul",
      { class: "examples" },
      EXAMPLES.map(([iconName, what, question]) =>
        el(
          "li",
          {},
          el(
            "button",
            { type: "button", onclick: () => onchoose(question) },
            icon(iconName),
            el("span", { class: "hint" }, what),
            el("span", {}, question),
          ),
        ),
      ),
    ),
  );
}
