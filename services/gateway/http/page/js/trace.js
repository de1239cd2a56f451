// The trace of an answer: its stages at once, every span of the server when asked for.

import { getJson } from "./api.js";
import { el } from "./dom.js";
import { Failure, explain } from "./errors.js";
import { lapse } from "./format.js";
import { stageWaterfall, waterfall } from "./waterfall.js";

const DEPTH_MAX = 6;
const UNKNOWN = "TRACE_UNKNOWN";

/** The section of a turn's timings, as work.js has them and its trace. */
export function traceSection(timings, trace) {
  const body = el("div", {}, stageWaterfall(timings));
  const problem = el("p", { class: "hint", role: "status" });
  const button = el(
    "button",
    {
      type: "button",
      class: "quiet small",
      async onclick() {
        try {
          body.replaceChildren(waterfall(await spansOf(trace)));
        } catch (failure) {
          const { what, todo } = explain(failure);
          problem.textContent = `${what} ${todo}`;
          if (failure.reason === UNKNOWN) button.remove();
        }
      },
    },
    "Show every span",
  );
  body.append(button, problem);
  return el(
    "details",
    { class: "trace" },
    el("summary", {}, "Time ", el("span", { class: "hint" }, lapse(timings.lastToken_s))),
    body,
  );
}

/** The spans of one turn, each below the one that caused it. Throws Failure, TRACE_UNKNOWN where they are gone. */
async function spansOf({ id, spanId: turnId }) {
  const { spans } = await getJson(`/v1/traces/${id}`);
  const turn = spans.find(({ spanId }) => spanId === turnId);
  if (!turn) throw new Failure({ reason: UNKNOWN, message: "" });
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
