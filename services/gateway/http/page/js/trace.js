// The trace of an answer: its stages at once, every span of the server when asked for.

import { getJson } from "./api.js";
import { el } from "./dom.js";
import { lapse, seconds } from "./format.js";
import { stageWaterfall, waterfall } from "./waterfall.js";

/** The section of a turn's timings. */
export function traceSection(timings, traceId) {
  const body = el("div", {}, stageWaterfall(timings));
  if (traceId) {
    const button = el("button", { type: "button", class: "quiet small", async onclick() {
      button.disabled = true;
      const spans = await spansOf(traceId).catch(() => null);
      if (spans) body.replaceChildren(waterfall(spans));
      else button.replaceWith(el("span", { class: "hint" }, "The server keeps this trace no more."));
    } }, "Show every span");
    body.append(button);
  }
  return el("details", { class: "trace" },
    el("summary", {}, "Time ", el("span", { class: "hint" }, lapse(seconds(timings.lastToken)))), body);
}

async function spansOf(traceId) {
  const { spans } = await getJson(`/v1/traces/${traceId}`);
  const depths = new Map();
  const began_ms = Math.min(...spans.map((span) => Date.parse(span.startTime)));
  return spans.map((span) => {
    const depth = (depths.get(span.parentSpanId) ?? -1) + 1;
    depths.set(span.spanId, depth);
    return {
      name: span.name.split("/").pop(),
      depth: Math.min(depth, 6),
      start_s: (Date.parse(span.startTime) - began_ms) / 1000,
      end_s: (Date.parse(span.endTime) - began_ms) / 1000,
      isError: Boolean(span.error),
    };
  });
}
