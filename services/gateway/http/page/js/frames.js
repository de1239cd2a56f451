// Frames of a film as small pictures: taken here while its bytes are still being sent, or by the server.

import { mediaUrl, thumbnailPath } from "./api.js";
import { happens } from "./media-events.js";

const WIDTH_PX = 160;
const FRAME_COUNT_MAX = 8;
const SECONDS_A_FRAME = 2;

/** At which seconds of a film of a length the frames of a strip are. */
function frameTimes(duration_s) {
  const count = Math.min(FRAME_COUNT_MAX, Math.max(2, Math.ceil(duration_s / SECONDS_A_FRAME)));
  return Array.from({ length: count }, (_, index) => (duration_s * (index + 0.5)) / count);
}

/** Yields {time_s, url} for a film that is stored. */
export async function* storedFrames({ assetId, duration_s }) {
  for (const time_s of duration_s ? frameTimes(duration_s) : []) {
    yield { time_s, url: await mediaUrl(thumbnailPath(assetId, time_s)) };
  }
}

/** Yields {time_s, url} for a film that this browser can show. */
export async function* localFrames(filmUrl) {
  const film = document.createElement("video");
  Object.assign(film, { muted: true, preload: "auto", src: filmUrl });
  if (!(await happens(film, "loadeddata")) || !Number.isFinite(film.duration)) return;
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH_PX;
  canvas.height = Math.round((WIDTH_PX * film.videoHeight) / film.videoWidth) || 1;
  for (const time_s of frameTimes(film.duration)) {
    film.currentTime = time_s;
    if (!(await happens(film, "seeked"))) return;
    canvas.getContext("2d").drawImage(film, 0, 0, canvas.width, canvas.height);
    const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
    yield { time_s, url: URL.createObjectURL(picture) };
  }
  film.removeAttribute("src");
}
