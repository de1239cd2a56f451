// What an answer was weighed from: the gates of the modalities, and every piece with its weight.

import { kindOf } from "./attachment.js";
import { originOf, placeLink } from "./citations.js";
import { el, icon, setVariable } from "./dom.js";
import { count, percent } from "./format.js";
import { placeText } from "./places.js";

const WORDS = { image: "Pictures", video: "Films", audio: "Sound", text: "Text" };

/** The section of one EvidenceWeights event. */
export function evidenceSection({ evidence = [], modalityWeights = [] }, onshow) {
  const sorted = [...evidence].sort((a, b) => (b.weight ?? 0) - (a.weight ?? 0));
  return el("details", { class: "evidence" },
    el("summary", {}, "Evidence ", el("span", { class: "hint" }, count(evidence.length, "piece"))),
    modalityWeights.length > 0 && gates(modalityWeights),
    el("ol", { class: "weights" }, sorted.map((piece) => row(piece, onshow))));
}

function gates(weights) {
  return el("ul", { class: "gates", "aria-label": "Weight of each modality" }, weights.map(({ modality, weight = 0 }) => {
    const kind = kindOf(modality);
    const gate = el("li", { "data-kind": kind }, `${WORDS[kind]} ${percent(weight)}`);
    return setVariable(gate, "share", weight);
  }));
}

function row({ evidence, weight = 0, citationKey, inContext }, onshow) {
  const [iconName, word] = originOf(evidence);
  const meter = el("span", { class: "meter", "aria-hidden": "true" }, el("i"));
  setVariable(meter, "share", weight);
  return el("li", { "data-kind": kindOf(evidence.modality), class: inContext ? "" : "unread" },
    placeLink(evidence, onshow, {},
      el("span", { class: "words" }, icon(iconName), el("b", {}, `${citationKey}`), ` ${evidence.text}`),
      el("span", { class: "where" }, [word, evidence.assetName, placeText(evidence.locator)].filter(Boolean).join(" · "),
        !inContext && " · not read for the answer")),
    el("span", { class: "share" }, percent(weight)),
    meter);
}
