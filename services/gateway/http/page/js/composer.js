// Where a question is written, and files and sound come in.

import { el, icon, iconButton } from "./dom.js";

const ACCEPT = "image/*,audio/*,video/*,text/*,.md,.txt,.csv,.json,.webm,.mkv,.flac,.ogg,.opus";

export class Composer {
  #actions;
  #input = el("textarea", {
    id: "question",
    rows: "1",
    placeholder: "Ask about it…",
    maxlength: "8000",
  });
  #file = el("input", {
    type: "file",
    multiple: true,
    accept: ACCEPT,
    class: "unseen",
    tabindex: "-1",
    "aria-hidden": "true",
  });
  #send = iconButton("send", "Ask", () => this.#submit(), { class: "icon-button send" });
  #attach = iconButton("attach", "Attach files", () => this.#file.click());
  #record = iconButton("microphone", "Record", () => this.#actions.onrecord());
  #isBusy = false;

  /** `actions`: onask(question), onstop(), onfiles(files), onrecord(), ontyping(). */
  constructor(actions) {
    this.#actions = actions;
    this.#file.addEventListener("change", () => {
      this.#give(this.#file.files);
      this.#file.value = "";
    });
    this.#input.addEventListener("keydown", (event) => this.#onkey(event));
    this.#input.addEventListener("input", () => {
      this.#fit();
      actions.ontyping();
    });
    this.#input.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.#give(event.clipboardData.files);
    });
    this.node = el(
      "form",
      { class: "composer", onsubmit: (event) => event.preventDefault() },
      el("label", { for: "question", class: "unseen" }, "Question"),
      this.#attach,
      this.#record,
      this.#input,
      this.#send,
      this.#file,
    );
  }

  /** Takes files that are dropped anywhere on a node. */
  catchDrops(node) {
    let depth = 0;
    const over = (change) => {
      depth = Math.max(0, depth + change);
      node.classList.toggle("dropping", depth > 0);
    };
    node.addEventListener("dragenter", () => over(1));
    node.addEventListener("dragleave", () => over(-1));
    node.addEventListener("dragover", (event) => event.preventDefault());
    node.addEventListener("drop", (event) => {
      event.preventDefault();
      over(-depth);
      this.#give(event.dataTransfer.files);
    });
  }

  /** Whether an answer is being written: then there is a way to stop it, and none to attach. */
  set isBusy(isBusy) {
    this.#isBusy = isBusy;
    this.#send.replaceChildren(icon(isBusy ? "stop" : "send"));
    this.#send.setAttribute("aria-label", isBusy ? "Stop" : "Ask");
    this.#send.title = isBusy ? "Stop" : "Ask";
    this.#attach.disabled = this.#record.disabled = isBusy;
  }

  /** Whether the microphone is open. */
  set isRecording(isRecording) {
    this.#record.classList.toggle("live", isRecording);
    this.#record.setAttribute("aria-pressed", String(isRecording));
    this.#record.setAttribute("aria-label", isRecording ? "Stop recording" : "Record");
    this.#record.replaceChildren(icon(isRecording ? "stop" : "microphone"));
  }

  /** Puts a question in, for the user to change or send. */
  propose(question) {
    this.#input.value = question;
    this.#fit();
    this.focus();
  }

  /** Puts a question back in, before what has been written since. */
  giveBack(question) {
    this.propose([question, this.#input.value].filter(Boolean).join("\n"));
  }

  focus() {
    this.#input.focus();
  }

  #onkey(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.#isBusy) this.#submit();
  }

  #submit() {
    if (this.#isBusy) {
      this.#actions.onstop();
      return;
    }
    const question = this.#input.value.trim();
    if (!question) {
      this.focus();
      return;
    }
    this.#input.value = "";
    this.#fit();
    this.#actions.onask(question);
  }

  #give(files) {
    if (files.length && !this.#isBusy) this.#actions.onfiles([...files]);
  }

  // The field grows with its text.
  #fit() {
    this.#input.style.height = "auto";
    this.#input.style.height = `${this.#input.scrollHeight}px`;
  }
}
