// An asset that the server has, shown like one that was dropped here.

import { contentPath, getJson, mediaUrl } from "./api.js";

const cache = new Map();

/** What a MediaPanel needs of a stored asset. Throws Failure, ASSET_NOT_FOUND where it is gone. */
export function storedAsset(assetId) {
  if (!cache.has(assetId))
    cache.set(
      assetId,
      load(assetId).catch((failure) => (cache.delete(assetId), Promise.reject(failure))),
    );
  return cache.get(assetId);
}

async function load(assetId) {
  const file = await getJson(`/v1/files/${encodeURIComponent(assetId)}`);
  const { modality, width, height, duration_s, renditions, has_audio, duplicate_of } =
    file.sensorium;
  // Where the original is no format of browsers, the server may have made one that is.
  const web = renditions.find(({ name }) => name === "video-web" || name === "web");
  const path = contentPath(assetId) + (web ? `?rendition=${web.name}` : "");
  return {
    assetId,
    name: file.filename,
    kind: modality,
    sizeBytes: file.bytes,
    isStored: true,
    isCommitted: true,
    isUnderstood: true,
    failure: null,
    hasSound: has_audio,
    duplicateOf: duplicate_of,
    duration_s,
    widthPx: width,
    heightPx: height,
    url: await mediaUrl(path),
  };
}

/** What was heard in it, as the index has it: [{start_s, text}]. Throws Failure. */
export async function storedTranscript(assetId) {
  const { data } = await getJson(`/v1/files/${encodeURIComponent(assetId)}/transcript`);
  return data;
}
