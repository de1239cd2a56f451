// The usage view: what the server has counted in the last days, and what this tab has asked for.

import { getJson } from "./api.js";
import { el, setVariable } from "./dom.js";
import { bytes, clock, count, lapse, seconds } from "./format.js";
import { notice } from "./notice.js";
import { turns } from "./usage-log.js";

const TELLS_NOT = new Set(["PATH_UNKNOWN", "DATABASE_UNAVAILABLE"]);

export class UsageView {
  #counted = el("section", { "aria-label": "Last 30 days" });
  node = el(
    "div",
    { class: "usage", tabindex: "0", role: "region", "aria-label": "Usage" },
    el("h1", {}, "Usage"),
    this.#counted,
    el(
      "section",
      { "aria-label": "In this tab" },
      el("h2", {}, "In this tab"),
      turns.length ? ownTable() : teach(),
    ),
  );

  constructor() {
    this.#read();
  }

  focus() {}

  close() {}

  async #read() {
    try {
      this.#show(await getJson("/v1/usage"));
    } catch (failure) {
      // Where the server does not count, or does not tell, there is this tab's own.
      if (!TELLS_NOT.has(failure.reason))
        this.#counted.replaceChildren(notice(failure, () => this.#read()));
    }
  }

  #show({ data: days, currency }) {
    if (days.length)
      this.#counted.replaceChildren(
        el("h2", {}, "Last 30 days"),
        totals(days, currency),
        dayTable(days, currency),
      );
  }
}

function teach() {
  return el(
    "p",
    { class: "hint" },
    "Nothing was asked yet. Each answer is listed here with the tokens and bytes that it took.",
  );
}

function totals(days, currency) {
  const sum = (field) => days.reduce((total, day) => total + day[field], 0);
  const facts = [
    ["Requests", sum("requests").toLocaleString("en")],
    ["Read", count(sum("prompt_tokens"), "token")],
    ["From memory", count(sum("cached_tokens"), "token")],
    ["Written", count(sum("completion_tokens"), "token")],
    ["Media", bytes(sum("media_bytes"))],
    ["Sound and film", clock(sum("media_seconds"))],
    currency && ["Estimated cost", `${sum("cost").toFixed(2)} ${currency}`],
  ];
  return el(
    "dl",
    { class: "totals" },
    facts
      .filter(Boolean)
      .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

function dayTable(days, currency) {
  const most = Math.max(1, ...days.map((day) => day.requests));
  const rows = days
    .toReversed()
    .map((day) => [
      day.key,
      el(
        "span",
        { class: "with-bar" },
        setVariable(
          el("span", { class: "meter", "aria-hidden": "true" }, el("i")),
          "share",
          day.requests / most,
        ),
        day.requests,
      ),
      day.prompt_tokens,
      day.completion_tokens,
      bytes(day.media_bytes),
      ...(currency ? [day.cost.toFixed(2)] : []),
    ]);
  return table(
    "Usage of each day",
    ["Day", "Requests", "Read", "Written", "Media", ...(currency ? [currency] : [])],
    rows,
  );
}

function ownTable() {
  const rows = turns
    .toReversed()
    .map(({ question, usage, timings }) => [
      question,
      Number(usage.promptTokenCount ?? 0),
      Number(usage.completionTokenCount ?? 0),
      bytes(usage.mediaBytes),
      timings.timeToFirstToken ? lapse(seconds(timings.timeToFirstToken)) : "–",
    ]);
  return table("Answers of this tab", ["Question", "Read", "Written", "Media", "First word"], rows);
}

function table(label, heads, rows) {
  return el(
    "div",
    { class: "table", tabindex: "0", role: "region", "aria-label": label },
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          heads.map((head) => el("th", { scope: "col" }, head)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map(([first, ...cells]) =>
          el(
            "tr",
            {},
            el("th", { scope: "row" }, first),
            cells.map((cell) => el("td", {}, cell)),
          ),
        ),
      ),
    ),
  );
}
