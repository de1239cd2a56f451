// A file or a recording that goes with a question, and what is known of it so far.

import { kindOfType } from "./kinds.js";

/** A fresh id of an asset. */
function freshId() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A file that was dropped, chosen or pasted. */
export class Attachment {
  assetId = freshId();
  isCommitted = false;
  isUnderstood = false;
  failure = null;

  constructor(file) {
    this.file = file;
    this.name = file.name || "pasted";
    this.sizeBytes = file.size;
    this.kind = kindOfType(file.type);
  }

  /** A URL of its bytes, for this page. */
  get url() {
    this.#url ??= URL.createObjectURL(this.file);
    return this.#url;
  }

  #url = null;
  #wasSent = false;

  /** Its bytes in pieces, to be sent. */
  async *pieces(size) {
    for (let start = 0; start < this.file.size; start += size) {
      yield await this.file.slice(start, start + size).arrayBuffer();
    }
  }

  /** It is about to be sent. A second try needs an id of its own: the first may have left a part behind. */
  beSent() {
    if (this.#wasSent) this.assetId = freshId();
    this.#wasSent = true;
  }
}
