// Where in an asset something lies: {span: {start_s, end_s}, region: {left, top, width, height},
// chars: {start, end}}, each null where it does not apply. Regions are in pixels of the upright source.

import { clock, seconds } from "./format.js";

/** The place of a Locator of the contract. */
export function placeOf(locator) {
  const { span, region, chars } = locator ?? {};
  return {
    span: span ? { start_s: seconds(span.start), end_s: seconds(span.end) } : null,
    region: region
      ? {
          left: region.leftPx ?? 0,
          top: region.topPx ?? 0,
          width: region.widthPx ?? 0,
          height: region.heightPx ?? 0,
        }
      : null,
    chars: chars ? { start: chars.start ?? 0, end: chars.end ?? 0 } : null,
  };
}

/** The same place as the HTTP API tells it. */
export function placeOfHttp({ span, region, characters }) {
  const { left_px: left, top_px: top, width_px: width, height_px: height } = region ?? {};
  return { span, region: region && { left, top, width, height }, chars: characters };
}

/** "0:04 – 0:10", "at 12, 40", "characters 10 – 50". */
export function placeText({ span, region, chars }) {
  if (span) {
    const [start, end] = [clock(span.start_s), clock(span.end_s)];
    return start === end ? start : `${start} – ${end}`;
  }
  if (region) return region.left || region.top ? `at ${region.left}, ${region.top}` : "picture";
  return chars ? `characters ${chars.start} – ${chars.end}` : "";
}

/** The place as a media fragment (W3C Media Fragments URI), with its "#"; empty for text. */
export function fragment({ span, region }) {
  if (span) return `#t=${span.start_s},${span.end_s}`;
  return region ? `#xywh=${region.left},${region.top},${region.width},${region.height}` : "";
}
