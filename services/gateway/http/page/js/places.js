// Where in an asset something lies: the Locator of the contract, for people and for links.

import { clock, seconds } from "./format.js";

/** Start and end of a locator's time in seconds; null where it has none. */
export function spanOf(locator) {
  if (!locator?.span) return null;
  return { start_s: seconds(locator.span.start), end_s: seconds(locator.span.end) };
}

/** A locator's rectangle in pixels of the upright source; null where it has none. */
export function regionOf(locator) {
  if (!locator?.region) return null;
  const { leftPx: left = 0, topPx: top = 0, widthPx: width = 0, heightPx: height = 0 } = locator.region;
  return { left, top, width, height };
}

/** A locator's characters; null where it has none. */
export function charsOf(locator) {
  if (!locator?.chars) return null;
  return { start: locator.chars.start ?? 0, end: locator.chars.end ?? 0 };
}

/** "0:04 – 0:10", "at 12, 40", "characters 10 – 50". */
export function placeText(locator) {
  const span = spanOf(locator);
  if (span) {
    const [start, end] = [clock(span.start_s), clock(span.end_s)];
    return start === end ? start : `${start} – ${end}`;
  }
  const region = regionOf(locator);
  if (region) return region.left || region.top ? `at ${region.left}, ${region.top}` : "picture";
  const chars = charsOf(locator);
  return chars ? `characters ${chars.start} – ${chars.end}` : "";
}

/** The place as a media fragment (W3C Media Fragments URI), with its "#"; empty for text. */
export function fragment(locator) {
  const span = spanOf(locator);
  if (span) return `#t=${span.start_s},${span.end_s}`;
  const region = regionOf(locator);
  return region ? `#xywh=${region.left},${region.top},${region.width},${region.height}` : "";
}
