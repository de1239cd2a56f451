// When each part of the platform worked for an answer.

import { el, setVariable } from "./dom.js";
import { lapse } from "./format.js";

const WORDS = {
  ingest: "Take in media",
  encode: "Perceive",
  fuse: "Weigh evidence",
  search: "Look up",
  generate: "Write",
};

/** Bars of spans [{name, start_s, end_s, depth, isError}] on one axis, from 0 to the last end. */
export function waterfall(spans, marks = []) {
  const end_s = Math.max(
    ...spans.map((span) => span.end_s),
    ...marks.map((mark) => mark.at_s),
    0.001,
  );
  const rows = spans.map((span) => {
    const bar = el("i", { class: span.isError ? "error" : "" });
    setVariable(setVariable(bar, "from", span.start_s / end_s), "to", span.end_s / end_s);
    const name = setVariable(
      el("span", { class: "name", title: span.name }, span.name),
      "depth",
      span.depth ?? 0,
    );
    return el(
      "li",
      {},
      name,
      el("span", { class: "track" }, bar),
      el("span", { class: "length" }, lapse(span.end_s - span.start_s)),
    );
  });
  const legend = marks.map(({ at_s, text }) => el("li", {}, `${text} at ${lapse(at_s)}`));
  return el(
    "div",
    { class: "waterfall" },
    el("ol", { "aria-label": "Where the time went" }, rows),
    legend.length > 0 && el("ul", { class: "marks" }, legend),
  );
}

/** The waterfall of the timings of a turn, as work.js has them. */
export function stageWaterfall({ stages, lastByte_s, firstToken_s }) {
  const spans = stages
    .map(({ stage, start_s, end_s }) => ({ name: WORDS[stage] ?? stage, start_s, end_s }))
    .sort((a, b) => a.start_s - b.start_s);
  return waterfall(spans, [
    { at_s: lastByte_s, text: "Question complete" },
    { at_s: firstToken_s, text: "First word" },
  ]);
}
