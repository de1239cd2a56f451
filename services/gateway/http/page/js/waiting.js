// What a turn waits for before it can be answered, and the way to take its question back.

import { announce } from "./announcer.js";
import { el } from "./dom.js";
import { explain } from "./errors.js";
import { filesAre } from "./format.js";

export class Waiting {
  #text = el("span");
  #cancel;

  /** `oncancel()` is called when the question is to be taken back. */
  constructor(oncancel) {
    this.#cancel = el(
      "button",
      { type: "button", class: "quiet small", onclick: oncancel },
      "Cancel",
    );
    this.node = el("p", { class: "waiting", hidden: true }, this.#text, " ", this.#cancel);
  }

  /** Whether it waits for anything. */
  get isShown() {
    return !this.node.hidden;
  }

  /** It waits until a failure has passed; `isAsked` tells whether there is a question already. */
  forServer(failure, isAsked) {
    const what = isAsked ? "The question is asked" : "What was added is sent";
    this.#tell(`${explain(failure).what} ${what} as soon as it can be.`);
    this.#cancel.hidden = !isAsked;
  }

  /** It waits until the media of a question is stored and understood, if there is any that is not. */
  forMedia(attachments) {
    const used = attachments.filter(({ failure }) => !failure);
    this.#cancel.hidden = false;
    this.#tell(
      untilAll(used, "isCommitted", "stored") || untilAll(used, "isUnderstood", "understood"),
    );
  }

  /** It waits for nothing any more. */
  end() {
    this.#tell("");
  }

  #tell(text) {
    if (text === this.#text.textContent) return;
    this.#text.textContent = text;
    this.node.hidden = !text;
    if (text) announce(text);
  }
}

function untilAll(attachments, flag, word) {
  const names = attachments.filter((one) => !one[flag]).map(({ name }) => name);
  return names.length ? `Waiting until ${filesAre(names)} ${word}.` : "";
}
