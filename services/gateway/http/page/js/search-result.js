// One asset that a search found: what it is, where it matched, and the way there.

import { mediaUrl, thumbnailPath } from "./api.js";
import { el, icon, setVariable } from "./dom.js";
import { clock, moment, percent } from "./format.js";
import { iconOf } from "./kinds.js";
import { MediaPanel } from "./media-panel.js";
import { notice } from "./notice.js";
import { placeText } from "./places.js";
import { storedAsset } from "./stored.js";
import { timeStrip } from "./time-strip.js";

const WORDS_SHOWN_MAX = 3;

/** The card of a result, as `search` of search-api.js gives it. */
export function resultCard(result) {
  const { assetId, name, kind, duration_s, matches } = result;
  const opened = el("div", { class: "opened" });
  let panel = null;

  async function open(place) {
    try {
      if (!panel) {
        panel = new MediaPanel(await storedAsset(assetId));
        opened.replaceChildren(panel.node);
        card.classList.add("open");
      }
      await panel.show(place);
    } catch (failure) {
      opened.replaceChildren(notice(failure));
    }
  }

  const best = matches[0].place;
  const moments = matches
    .filter(({ place }) => place.span)
    .map(({ place, relevance }) => ({ ...place.span, relevance, place }));
  // Frames that show the same are told once; the strip has them all.
  const said = matches
    .filter(({ text }, at) => text && matches.findIndex((other) => other.text === text) === at)
    .slice(0, WORDS_SHOWN_MAX);
  const facts = [
    percent(result.relevance),
    duration_s && clock(duration_s),
    moment(result.uploadedAt),
  ];
  const card = el(
    "article",
    { class: "result", "data-kind": kind },
    el(
      "button",
      { type: "button", class: "cover", "aria-label": `Open ${name}`, onclick: () => open(best) },
      cover(result, best),
    ),
    el(
      "div",
      { class: "found" },
      el("h2", {}, name),
      el("p", { class: "facts" }, facts.filter(Boolean).join(" · ")),
      setVariable(
        el("span", { class: "meter", "aria-hidden": "true" }, el("i")),
        "share",
        result.relevance,
      ),
      el(
        "ul",
        { class: "said" },
        said.map(({ place, text }) =>
          el(
            "li",
            {},
            el(
              "button",
              { type: "button", class: "line", onclick: () => open(place) },
              el("span", { class: "time" }, placeText(place)),
              " ",
              text,
            ),
          ),
        ),
      ),
      moments.length > 0 && timeStrip(duration_s, moments, ({ place }) => open(place)),
    ),
    opened,
  );
  return card;
}

function cover({ assetId, kind }, place) {
  if (kind !== "image" && kind !== "video") return icon(iconOf(kind));
  const picture = el("img", { alt: "" });
  const offset_s = kind === "video" ? (place.span?.start_s ?? null) : null;
  mediaUrl(thumbnailPath(assetId, offset_s)).then(
    (url) => (picture.src = url),
    // What shows no picture keeps the colour of its kind.
    () => {},
  );
  return picture;
}
