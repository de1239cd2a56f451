// What the server told, in words; in Node and in browsers alike.

import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "@sensorium/stubs/google/rpc/error_details_pb.js";

/** Sends the key, if there is one, with every call. */
export function withKey(key) {
  return (next) => (request) => {
    if (key) {
      request.header.set("authorization", `Bearer ${key}`);
    }
    return next(request);
  };
}

/**
 * An error as the server tells it: `reason` is UPPER_SNAKE_CASE and stable, for programs;
 * `subject` is the field, asset or file at fault, or empty; `retryDelay` says when trying again
 * makes sense, or is undefined.
 */
export class Refusal extends Error {
  constructor({ reason, message, subject, retryDelay }) {
    const place = subject ? ` (${subject})` : "";
    const hint = retryDelay ? ` Try again in ${seconds(retryDelay)} s.` : "";
    super(`${reason}: ${message}${place}${hint}`);
    this.reason = reason;
    this.subject = subject;
    this.retryDelay = retryDelay;
  }
}

/** An error in a line: what the status of a call says of it, where it is one. */
export function explain(error) {
  if (!(error instanceof ConnectError)) {
    return error.message;
  }
  const [info] = error.findDetails(ErrorInfoSchema);
  const [retry] = error.findDetails(RetryInfoSchema);
  if (!info && error.code === Code.Unavailable) {
    return "Unavailable: The server cannot be reached.";
  }
  return new Refusal({
    reason: info?.reason ?? Code[error.code],
    message: error.rawMessage.trim(),
    subject: info?.metadata.subject,
    retryDelay: retry?.retryDelay,
  }).message;
}

/** A citation as "[1] film.mp4, 0:04.5 to 0:06.0, 320×200 px at 10,20: a rabbit". */
export function footnote({ evidence: { citationKey, evidence } }) {
  return `[${citationKey}] ${[evidence.assetName, ...places(evidence.locator)].join(", ")}: ${evidence.text}`;
}

/** Where in its asset something lies, a word for each of time, region and characters. */
export function places(locator) {
  const told = [];
  if (locator?.span) {
    const [start, end] = [locator.span.start, locator.span.end].map(clock);
    told.push(start === end ? start : `${start} to ${end}`);
  }
  if (locator?.region) {
    const { widthPx, heightPx, leftPx, topPx } = locator.region;
    told.push(`${widthPx}×${heightPx} px at ${leftPx},${topPx}`);
  }
  if (locator?.chars) {
    told.push(`characters ${locator.chars.start} to ${locator.chars.end}`);
  }
  return told;
}

/** "1:02.5" of a protobuf duration. */
function clock(duration) {
  const tenths = Math.round(seconds(duration) * 10);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return `${Math.floor(tenths / 600)}:${rest}`;
}

function seconds(duration) {
  return duration ? Number(duration.seconds) + duration.nanos / 1e9 : 0;
}
