// What an answer was weighed from: the gates of the modalities, and every piece with its weight.

import { originOf, placeLink } from "./citations.js";
import { el, icon, setVariable } from "./dom.js";
import { count, percent } from "./format.js";
import { pluralOf } from "./kinds.js";
import { placeText } from "./places.js";

/** The section of the weights of an answer; `onshow(piece)` goes to the place of a piece. */
export function evidenceSection({ pieces, gates }, onshow) {
  return el(
    "details",
    { class: "evidence" },
    el("summary", {}, "Evidence ", el("span", { class: "hint" }, count(pieces.length, "piece"))),
    gates.length > 0 && gateList(gates),
    el(
      "ol",
      { class: "weights" },
      pieces
        .toSorted((one, other) => other.weight - one.weight)
        .map((piece) => row(piece, onshow)),
    ),
  );
}

function gateList(gates) {
  return el(
    "ul",
    { class: "gates", "aria-label": "Weight of each modality" },
    gates.map(({ kind, weight }) => {
      const gate = el("li", { "data-kind": kind }, `${pluralOf(kind)} ${percent(weight)}`);
      return setVariable(gate, "share", weight);
    }),
  );
}

function row(piece, onshow) {
  const [iconName, word] = originOf(piece);
  const where = [
    word,
    piece.assetName,
    placeText(piece.place),
    !piece.inContext && "not read for the answer",
  ];
  const meter = setVariable(
    el("span", { class: "meter", "aria-hidden": "true" }, el("i")),
    "share",
    piece.weight,
  );
  return el(
    "li",
    { "data-kind": piece.kind, class: piece.inContext ? "" : "unread" },
    placeLink(
      piece,
      onshow,
      {},
      el("span", { class: "words" }, icon(iconName), el("b", {}, piece.key), ` ${piece.text}`),
      el("span", { class: "where" }, where.filter(Boolean).join(" · ")),
    ),
    el("span", { class: "share" }, percent(piece.weight)),
    meter,
  );
}
