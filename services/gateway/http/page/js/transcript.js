// The words of an asset as they are heard; each line is a link to its second.

import { el } from "./dom.js";
import { clock, seconds } from "./format.js";

export class Transcript {
  #lines = el("ol");
  #partial = el("p", { class: "partial", "aria-hidden": "true", hidden: true });
  #onseek;

  /** `onseek(start_s)` is called when a line is chosen. */
  constructor(onseek) {
    this.#onseek = onseek;
    this.node = el(
      "section",
      { class: "transcript", "aria-label": "Transcript", hidden: true },
      this.#lines,
      this.#partial,
    );
  }

  /** Words that are settled. */
  add({ span, transcript }) {
    this.#addLine(seconds(span.start), transcript.text ?? "");
    this.#show("");
  }

  /** All that was heard in an asset that is stored: [{start_s, text}]. */
  fill(lines) {
    for (const { start_s, text } of lines) this.#addLine(start_s, text);
    this.node.hidden = !lines.length;
  }

  /** It cannot be read. */
  failed(what) {
    this.node.replaceChildren(el("p", { class: "note" }, what));
    this.node.hidden = false;
  }

  #addLine(start_s, text) {
    this.#lines.append(
      el(
        "li",
        {},
        el(
          "button",
          { type: "button", class: "line", onclick: () => this.#onseek(start_s) },
          el("span", { class: "time" }, clock(start_s)),
          " ",
          text,
        ),
      ),
    );
  }

  /** Words that are just being said: a guess, shown meanwhile. */
  guess({ transcript }) {
    this.#show(transcript.text ?? "");
  }

  #show(guessed) {
    this.#partial.textContent = guessed;
    this.#partial.hidden = !guessed;
    this.node.hidden = !guessed && !this.#lines.childElementCount;
    this.node.scrollTop = this.node.scrollHeight;
  }
}
