// The search view: words, a file or both in; moments, regions and passages out.

import { announce } from "./announcer.js";
import { el, icon, iconButton } from "./dom.js";
import { Failure } from "./errors.js";
import { bytes, count } from "./format.js";
import { kinds } from "./kinds.js";
import { notice } from "./notice.js";
import { search } from "./search-api.js";
import { resultCard } from "./search-result.js";

const FILE_BYTES_MAX = 3 << 20;

export class SearchView {
  #words = el("input", {
    id: "words",
    type: "search",
    placeholder: "A cat that looks at the camera",
    maxlength: "8000",
  });
  #picker = el("input", {
    type: "file",
    accept: "image/*,audio/*,video/*",
    class: "unseen",
    tabindex: "-1",
    "aria-hidden": "true",
  });
  #share = el("input", {
    id: "share",
    type: "range",
    min: "0.1",
    max: "0.9",
    step: "0.1",
    value: "0.5",
  });
  #balance = el(
    "div",
    { class: "balance", hidden: true },
    el("span", { "aria-hidden": "true" }, "Words"),
    el("label", { for: "share", class: "unseen" }, "How much the file counts beside the words"),
    this.#share,
    el("span", { "aria-hidden": "true" }, "File"),
  );
  #chip = el("div", { class: "chip", hidden: true });
  #kinds = kinds.map(([kind, text]) => [
    kind,
    el("input", { type: "checkbox", id: `kind-${kind}`, checked: true }),
    text,
  ]);
  #results = el("div", { class: "results" });
  #file = null;
  #latest = 0;

  constructor() {
    this.#picker.addEventListener("change", () => {
      this.#take(this.#picker.files);
      this.#picker.value = "";
    });
    this.#words.addEventListener("input", () => this.#weigh());
    for (const choice of [this.#share, ...this.#kinds.map(([, box]) => box)]) {
      choice.addEventListener("change", () => this.#search());
    }
    this.#words.addEventListener("paste", (event) => this.#take(event.clipboardData.files));
    const form = el(
      "form",
      { class: "searching", role: "search", onsubmit: (event) => this.#submit(event) },
      el("label", { for: "words", class: "unseen" }, "What to look for"),
      el(
        "div",
        { class: "field" },
        icon("search"),
        this.#words,
        iconButton("picture", "Search by a picture or sound", () => this.#picker.click()),
        el("button", { type: "submit", class: "primary" }, "Search"),
        this.#picker,
      ),
      this.#chip,
      this.#balance,
      el(
        "fieldset",
        { class: "kinds" },
        el("legend", { class: "unseen" }, "Kinds of media"),
        this.#kinds.map(([kind, box, text]) =>
          el("label", { for: `kind-${kind}`, "data-kind": kind }, box, text),
        ),
      ),
    );
    this.node = el("div", { class: "search" }, form, this.#results);
    this.node.addEventListener("dragover", (event) => event.preventDefault());
    this.node.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#take(event.dataTransfer.files);
    });
    this.#teach();
  }

  focus() {
    this.#words.focus();
  }

  close() {
    this.#latest = -1;
  }

  #teach() {
    const examples = ["an animal in the grass", "strawberry ice cream", "writing on a sign"];
    this.#results.replaceChildren(
      el(
        "section",
        { class: "empty" },
        el("h1", {}, "Find the moment"),
        el(
          "p",
          {},
          "Everything that was asked about can be found again: by what is seen, said or written " +
            "in it, by a picture that looks like it, or by both at once.",
        ),
        el(
          "p",
          { class: "row center" },
          examples.map((example) =>
            el(
              "button",
              { type: "button", class: "suggestion", onclick: () => this.#try(example) },
              example,
            ),
          ),
        ),
      ),
    );
  }

  #try(words) {
    this.#words.value = words;
    this.#search();
  }

  #take(files) {
    const [file] = files;
    if (!file) return;
    if (file.size > FILE_BYTES_MAX) {
      const message = `A file to search by may have at most ${bytes(FILE_BYTES_MAX)}.`;
      this.#results.replaceChildren(notice(new Failure({ reason: "FILE_TOO_LARGE", message })));
      return;
    }
    this.#file = file;
    const isPicture = file.type.startsWith("image/");
    this.#chip.replaceChildren(
      isPicture ? el("img", { src: URL.createObjectURL(file), alt: "" }) : icon("heard"),
      el("span", { class: "name" }, file.name || "Pasted picture"),
      iconButton("close", "Search without this file", () => this.#drop()),
    );
    this.#weigh();
    this.#search();
  }

  #drop() {
    this.#file = null;
    this.#weigh();
    this.focus();
  }

  #weigh() {
    this.#chip.hidden = !this.#file;
    this.#balance.hidden = !this.#file || !this.#words.value.trim();
  }

  #submit(event) {
    event.preventDefault();
    this.#search();
  }

  async #search() {
    const text = this.#words.value.trim();
    if (!text && !this.#file) return this.#teach();
    this.#weigh();
    const wanted = this.#kinds.filter(([, box]) => box.checked).map(([kind]) => kind);
    const number = ++this.#latest;
    this.#results.setAttribute("aria-busy", "true");
    try {
      const found = await search({
        text,
        file: this.#file,
        fileShare: Number(this.#share.value),
        kinds: wanted,
      });
      if (number === this.#latest) this.#show(found);
    } catch (failure) {
      if (number === this.#latest)
        this.#results.replaceChildren(notice(failure, () => this.#search()));
    } finally {
      if (number === this.#latest) this.#results.removeAttribute("aria-busy");
    }
    return undefined;
  }

  #show(found) {
    this.node.scrollTop = 0;
    announce(found.length ? `${count(found.length, "result")}.` : "Nothing was found.");
    if (found.length) {
      this.#results.replaceChildren(
        el(
          "ol",
          {},
          found.map((result) => el("li", {}, resultCard(result))),
        ),
      );
    } else {
      this.#results.replaceChildren(
        el(
          "section",
          { class: "empty" },
          el("h1", {}, "Nothing was found"),
          el(
            "p",
            {},
            "Try other words, or more kinds of media. Files can be found once they were asked about.",
          ),
        ),
      );
    }
  }
}
