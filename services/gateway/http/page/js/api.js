// The HTTP API of the same server, with this tab's key.

import { Failure, wantsKey } from "./errors.js";
import { askForKey, currentKey } from "./key.js";

/** Fetches; where a key is wanted, asks for one until it is accepted or none is given. Throws Failure. */
export async function request(path, options = {}) {
  for (;;) {
    const key = currentKey();
    const response = await attempt(path, options);
    if (response.ok) return response;
    const failure = await failureOf(response);
    if (!wantsKey(failure)) throw failure;
    const why = key ? "This server does not accept the key." : "This server asks for a key.";
    // Another request may have asked for it meanwhile.
    if (key === currentKey() && !(await askForKey(why))) throw failure;
  }
}

/** The JSON of a path. */
export async function getJson(path) {
  return (await request(path)).json();
}

/** Sends JSON and reads JSON. */
export async function sendJson(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const response = await request(path, { method, headers, body: JSON.stringify(body) });
  return response.status === 204 ? null : response.json();
}

/** A src for <img> or <video>: they cannot send a key, so with one the bytes are fetched first. */
export async function mediaUrl(path) {
  if (!currentKey()) return path;
  return URL.createObjectURL(await (await request(path)).blob());
}

/** Where the bytes of a stored asset are. */
export function contentPath(assetId) {
  return `/v1/files/${encodeURIComponent(assetId)}/content`;
}

/** Where a small picture of a stored asset is; of a film the frame at a time. */
export function thumbnailPath(assetId, offset_s = null) {
  const query = offset_s === null ? "" : `?offset_s=${offset_s.toFixed(3)}`;
  return `/v1/files/${encodeURIComponent(assetId)}/thumbnail${query}`;
}

async function attempt(path, options) {
  const key = currentKey();
  const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
  try {
    return await fetch(path, { ...options, headers });
  } catch {
    throw new Failure({ reason: "CONNECTION_LOST", message: "The server cannot be reached." });
  }
}

async function failureOf(response) {
  const body = await response.json().catch(() => null);
  const failure = new Failure({
    reason: body?.error?.code ?? "REQUEST_FAILED",
    message: body?.error?.message ?? `The server answered ${response.status}.`,
    subject: body?.error?.param ?? "",
    retry_s: Number(response.headers.get("Retry-After")) || null,
  });
  failure.status = response.status;
  return failure;
}
