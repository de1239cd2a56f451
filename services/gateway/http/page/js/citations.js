// Citations: links into the media, in the answer and below it.

import { contentPath } from "./api.js";
import { el, icon } from "./dom.js";
import { fragment, placeText } from "./places.js";

const ORIGINS = {
  speech: ["heard", "Heard"],
  ocr: ["read", "Read"],
  label: ["seen", "Seen"],
  caption: ["seen", "Described"],
  passage: ["text", "Written"],
};

/** Icon and word of how a piece of evidence came to be. */
export function originOf(piece) {
  return ORIGINS[piece.origin] ?? ["text", "Found"];
}

/** A link to the place of a piece; a click goes there in this page, `onshow(piece)`. */
export function placeLink(piece, onshow, attributes, ...children) {
  return el(
    "a",
    {
      href: contentPath(piece.assetId) + fragment(piece.place),
      onclick(event) {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        onshow(piece);
      },
      ...attributes,
    },
    ...children,
  );
}

/** The sources of an answer. */
export class CitationList {
  #list = el("ol");
  #onshow;
  #byKey = new Map();

  constructor(onshow) {
    this.#onshow = onshow;
    this.node = el(
      "section",
      { class: "citations", "aria-label": "Sources", hidden: true },
      this.#list,
    );
  }

  /** Adds the citation of a piece; the same piece is listed once. */
  add(piece, basis) {
    const { key, text, place } = piece;
    if (this.#byKey.has(key)) return;
    this.#byKey.set(key, piece);
    const [iconName, word] = originOf(piece);
    const where = [piece.assetName, placeText(place)].filter(Boolean).join(" · ");
    const hint = basis === "weight" ? " · strongest of its file" : "";
    this.#list.append(
      el(
        "li",
        {},
        placeLink(
          piece,
          this.#onshow,
          { class: "citation", "aria-label": `Source ${key}: ${word} in ${where}: ${text}` },
          el("span", { class: "number" }, key),
          el(
            "span",
            { class: "what" },
            el("span", { class: "words" }, text),
            el("span", { class: "where" }, icon(iconName), `${word} · ${where}${hint}`),
          ),
        ),
      ),
    );
    this.node.hidden = false;
  }

  /** The answer's text with its markers, such as [2], as links. */
  linked(text) {
    return text.split(/(\[\d+\])/).map((part) => {
      const key = /^\[(\d+)\]$/.exec(part)?.[1];
      const piece = key && this.#byKey.get(key);
      if (!piece) return part;
      return placeLink(
        piece,
        this.#onshow,
        { class: "marker", "aria-label": `Source ${key}` },
        key,
      );
    });
  }
}
