// The trace of an answer: its stages at once, every span of the server when asked for.

import { getJson } from "./api.js";
import { el } from "./dom.js";
import { lapse, seconds } from "./format.js";
import { stageWaterfall, waterfall } from "./waterfall.js";

const DEPTH_MAX = 6;
const TURN = "gateway.turn";

/** The section of a turn's timings. */
export function traceSection(timings, trace) {
  const body = el("div", {}, stageWaterfall(timings));
  const button = el(
    "button",
    {
      type: "button",
      class: "quiet small",
      async onclick() {
        button.disabled = true;
        const spans = await spansOf(trace).catch(() => []);
        if (spans.length) body.replaceChildren(waterfall(spans));
        else
          button.replaceWith(
            el("span", { class: "hint" }, "The server does not keep this trace any more."),
          );
      },
    },
    "Show every span",
  );
  body.append(button);
  return el(
    "details",
    { class: "trace" },
    el("summary", {}, "Time ", el("span", { class: "hint" }, lapse(seconds(timings.lastToken)))),
    body,
  );
}

/** The spans of one turn, each below the one that caused it. */
async function spansOf({ id, turnIndex }) {
  const { spans } = await getJson(`/v1/traces/${id}`);
  const turn = spans.filter(({ name }) => name === TURN)[turnIndex];
  if (!turn) return [];
  const began_ms = Date.parse(turn.startTime);
  const rows = [];
  const add = (span, depth) => {
    rows.push({
      name: span.name.split("/").pop(),
      depth: Math.min(depth, DEPTH_MAX),
      start_s: (Date.parse(span.startTime) - began_ms) / 1000,
      end_s: (Date.parse(span.endTime) - began_ms) / 1000,
      isError: span.error,
    });
    for (const child of spans.filter(({ parentSpanId }) => parentSpanId === span.spanId))
      add(child, depth + 1);
  };
  add(turn, 0);
  return rows;
}
