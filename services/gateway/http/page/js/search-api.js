// What the search view asks the server, and what it answers, in the page's own terms.

import { sendJson } from "./api.js";
import { placeOfHttp } from "./places.js";

const COUNT_MAX = 12;

/**
 * Searches by words, by a file (Blob), or by both, where `fileShare` (0 to 1) says how much the file counts.
 * `kinds` narrows to kinds of media. Throws Failure. Results, best first: {assetId, kind, name,
 * duration_s, uploadedAt, relevance, matches: [{place, text, relevance}]}.
 */
export async function search({ text, file, fileShare, kinds }) {
  const parts = [];
  if (text) parts.push({ type: "text", content: text, weight: file ? 1 - fileShare : 1 });
  if (file)
    parts.push({
      type: file.type.split("/")[0],
      content: await dataUrl(file),
      weight: text ? fileShare : 1,
    });
  const { results } = await sendJson("POST", "/v1/search", {
    query: parts.length === 1 ? { type: parts[0].type, content: parts[0].content } : parts,
    search_modalities: kinds,
    top_k: COUNT_MAX,
  });
  return results.map(normal);
}

function normal({ id, type, similarity_score: relevance, matched_frames: frames, metadata }) {
  return {
    assetId: id,
    kind: type,
    name: metadata.filename,
    duration_s: metadata.duration,
    uploadedAt: metadata.uploaded_at,
    relevance,
    matches: frames.map((frame) => ({
      place: placeOfHttp(frame),
      text: frame.text,
      relevance: frame.similarity_score,
    })),
  };
}

function dataUrl(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.readAsDataURL(blob);
  });
}
