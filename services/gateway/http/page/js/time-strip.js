// The length of a film or recording, with what was found in it; a click plays there.

import { el, setVariable } from "./dom.js";
import { clock } from "./format.js";

/** `moments`: [{start_s, end_s, relevance}]; `onplay(moment)` is called for the one chosen. */
export function timeStrip(duration_s, moments, onplay) {
  const length_s = Math.max(duration_s ?? 0, ...moments.map(({ end_s }) => end_s), 0.001);
  const marks = moments.map((moment) => {
    const label = `Play from ${clock(moment.start_s)}`;
    const mark = el("button", {
      type: "button",
      "aria-label": label,
      title: label,
      onclick: () => onplay(moment),
    });
    setVariable(mark, "from", moment.start_s / length_s);
    setVariable(mark, "to", moment.end_s / length_s);
    return setVariable(mark, "strength", 0.35 + 0.65 * (moment.relevance ?? 1));
  });
  return el(
    "div",
    { class: "time-strip", role: "group", "aria-label": "Matched moments" },
    el("div", { class: "track" }, marks),
    el(
      "div",
      { class: "ends time", "aria-hidden": "true" },
      el("span", {}, clock(0)),
      el("span", {}, clock(length_s)),
    ),
  );
}
