// An error where it happened: what is wrong, what to do, and the button that does it.

import { el, icon } from "./dom.js";
import { explain, wantsKey } from "./errors.js";
import { askForKey } from "./key.js";

/** A box for a failure. `onretry` is offered where trying again can help. */
export function notice(failure, onretry = null) {
  const { what, todo } = explain(failure);
  const box = el(
    "div",
    { class: "problem", role: "alert" },
    icon("warning"),
    el("p", {}, el("b", {}, what), ` ${todo}`),
  );
  const retry = () => {
    box.remove();
    onretry();
  };
  if (onretry && wantsKey(failure)) {
    box.append(
      el(
        "button",
        { type: "button", onclick: async () => (await askForKey()) && retry() },
        "Enter key",
      ),
    );
  } else if (onretry) {
    box.append(el("button", { type: "button", onclick: retry }, "Try again"));
  }
  return box;
}
