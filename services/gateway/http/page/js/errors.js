// What went wrong, and what to do about it, for people.

import { wait } from "./format.js";

/** An error with the stable reason of the contract. */
export class Failure extends Error {
  constructor({ reason, message, subject = "", retry_s = null }) {
    super(message);
    this.reason = reason;
    this.subject = subject;
    this.retry_s = retry_s;
  }
}

/** The failure that a StreamError of the contract tells of. */
export function fromStreamError(error) {
  const retry_s = error.retryDelay ? Number.parseFloat(error.retryDelay) : null;
  return new Failure({
    reason: error.reason,
    message: error.message,
    subject: error.subject,
    retry_s,
  });
}

// [what happened, what to do]; without the second, to wait. Reasons that are not here tell both in
// their message.
const KNOWN = {
  CONNECTION_LOST: [
    "The connection to the server was lost.",
    "Check that the server runs, then try again.",
  ],
  SERVER_STOPPING: ["The server is being restarted."],
  NOT_READY: ["The server is still loading its models."],
  SHUTTING_DOWN: ["The server is being restarted."],
  TOO_MANY_TURNS: ["The server is busy with other questions."],
  GENERATE_QUEUE_FULL: ["The server is busy with other questions."],
  RATE_LIMITED: ["More was asked for in a short time than this server allows you."],
  QUOTA_EXCEEDED: ["What this server allows you is used up."],
  CREDENTIAL_MISSING: ["This server asks for a key.", "Enter yours to go on."],
  MICROPHONE_REFUSED: [
    "The microphone may not be used.",
    "Allow it for this page in the browser's settings, then record again.",
  ],
  MICROPHONE_MISSING: [
    "No microphone was found.",
    "Connect one, or drop a recording here instead.",
  ],
  RECORDING_UNSUPPORTED: [
    "This browser cannot record here.",
    "Pages record on https or on this machine only; drop a recording instead.",
  ],
  UNSUPPORTED_MEDIA: [
    "Files of this kind cannot be read.",
    "Use a picture (JPEG, PNG, WebP), recording, film (MP4, WebM) or plain text.",
  ],
  TYPE_MISMATCH: ["This file is not what its name says.", "Choose the file in its original form."],
  MEDIA_UNREADABLE: [
    "This file cannot be read; it may be damaged.",
    "Open it in another program to check it, or choose another.",
  ],
  MEDIA_TRUNCATED: [
    "This file ends in the middle.",
    "Copy it again from where it came from, then drop it here.",
  ],
  EMPTY_FILE: ["This file is empty.", "Choose another."],
  ASSET_TOO_LARGE: ["This file is too large.", "Choose a smaller one, or cut it."],
  IMAGE_TOO_LARGE: ["This picture has too many pixels.", "Scale it down, then drop it here."],
  TEXT_TOO_LARGE: ["This text is too long.", "Split it, and ask about the parts."],
  STORAGE_FULL: [
    "The server has no room left.",
    "Delete what is not needed, or tell whoever runs it.",
  ],
  MEDIA_TOO_LONG: ["This recording is too long.", "Cut it, and ask about the parts."],
  QUESTION_TOO_LONG: ["The question is too long.", "Shorten it, or drop the text as a file."],
  QUESTION_MISSING: ["There is no question yet.", "Type one."],
  CONTENT_BLOCKED: [
    "The rules of this server do not allow this content.",
    "Ask about something else.",
  ],
  ASSET_NOT_FOUND: ["This file is not stored any more.", "Drop it here again."],
  CONVERSATION_NOT_FOUND: ["This conversation does not exist any more.", "Begin a new one."],
  CONVERSATION_BUSY: [
    "This conversation is answering elsewhere.",
    "Wait until it has finished there, then try again.",
  ],
  TRACE_UNKNOWN: [
    "The server does not keep every span of this answer any more.",
    "It keeps those of recent answers, until it is restarted.",
  ],
  PATH_UNKNOWN: ["This server does not offer that.", "Update the server to use it."],
};

/** Two sentences: what happened, and what to do ("" where the first says it). */
export function explain(failure) {
  const { reason, message, retry_s } = failure;
  const again = `Try again in ${retry_s ? wait(retry_s) : "a moment"}.`;
  const [what, todo = again] = KNOWN[reason] ?? [
    message || "Something went wrong.",
    retry_s ? again : "",
  ];
  return { what, todo };
}

/**
 * Failures that pass by themselves: models are being loaded; another turn is at work, or the server has not
 * noticed yet that the connection before this one was lost.
 */
const PASSING = new Set(["NOT_READY", "CONVERSATION_BUSY"]);

/** When to try again without being told to, in milliseconds; null where it would be of no use. */
export function passesIn_ms({ reason, retry_s }) {
  return PASSING.has(reason) ? (retry_s ?? 1) * 1000 : null;
}

/** Whether a key would help. */
export function wantsKey(failure) {
  return failure.status === 401 || /^(CREDENTIAL|KEY|TOKEN)_/.test(failure.reason);
}
