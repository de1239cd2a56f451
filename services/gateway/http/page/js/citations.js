// Citations: links into the media, in the answer and below it.

import { contentPath } from "./api.js";
import { el, icon } from "./dom.js";
import { fragment, placeText } from "./places.js";

const ORIGINS = {
  EVIDENCE_ORIGIN_SPEECH: ["heard", "Heard"],
  EVIDENCE_ORIGIN_OCR: ["read", "Read"],
  EVIDENCE_ORIGIN_LABEL: ["seen", "Seen"],
  EVIDENCE_ORIGIN_CAPTION: ["seen", "Described"],
  EVIDENCE_ORIGIN_PASSAGE: ["text", "Written"],
};

/** Icon and word of how a piece of evidence came to be. */
export function originOf(evidence) {
  return ORIGINS[evidence.origin] ?? ["text", "Found"];
}

/** A link to a place in an asset; a click goes there in this page, `onshow(evidence)`. */
export function placeLink(evidence, onshow, attributes, ...children) {
  return el("a", {
    href: contentPath(evidence.assetId) + fragment(evidence.locator),
    onclick(event) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      onshow(evidence);
    },
    ...attributes,
  }, ...children);
}

/** The sources of an answer. */
export class CitationList {
  #list = el("ol");
  #onshow;
  #byKey = new Map();

  constructor(onshow) {
    this.#onshow = onshow;
    this.node = el("section", { class: "citations", "aria-label": "Sources", hidden: true }, this.#list);
  }

  /** Adds a citation; the same evidence is listed once. */
  add({ evidence: { evidence, citationKey }, basis }) {
    if (this.#byKey.has(citationKey)) return;
    this.#byKey.set(citationKey, evidence);
    const [iconName, word] = originOf(evidence);
    const place = [evidence.assetName, placeText(evidence.locator)].filter(Boolean).join(" · ");
    const hint = basis === "CITATION_BASIS_WEIGHT" ? "weighs most" : null;
    this.#list.append(el("li", {},
      placeLink(evidence, this.#onshow, { class: "citation", "aria-label": `Source ${citationKey}: ${word} in ${place}: ${evidence.text}` },
        el("span", { class: "number" }, citationKey),
        el("span", { class: "what" },
          el("span", { class: "words" }, evidence.text),
          el("span", { class: "where" }, icon(iconName), `${word} · ${place}`, hint && ` · ${hint}`)))));
    this.node.hidden = false;
  }

  /** The answer's text with its markers, such as [2], as links. */
  linked(text) {
    return text.split(/(\[\d+\])/).map((part) => {
      const key = /^\[(\d+)\]$/.exec(part)?.[1];
      const evidence = key && this.#byKey.get(key);
      if (!evidence) return part;
      return placeLink(evidence, this.#onshow, { class: "marker", "aria-label": `Source ${key}` }, key);
    });
  }
}
