// A file or a recording that goes with a question, and what is known of it so far.

const KINDS = { MODALITY_IMAGE: "image", MODALITY_VIDEO: "video", MODALITY_AUDIO: "audio", MODALITY_TEXT: "text" };

/** The kind that a modality of the contract stands for. */
export function kindOf(modality) {
  return KINDS[modality] ?? "other";
}

/** A fresh id of an asset. */
function freshId() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A file that was dropped, chosen or pasted. */
export class Attachment {
  assetId = freshId();
  isCommitted = false;
  failure = null;

  constructor(file) {
    this.file = file;
    this.name = file.name || "pasted";
    this.sizeBytes = file.size;
    this.kind = guess(file.type);
  }

  /** A URL of its bytes, for this page. */
  get url() {
    this.#url ??= URL.createObjectURL(this.file);
    return this.#url;
  }

  #url = null;

  /** Its bytes in pieces, to be sent. */
  async *pieces(size) {
    for (let start = 0; start < this.file.size; start += size) {
      yield await this.file.slice(start, start + size).arrayBuffer();
    }
  }

  /** A second try needs an id of its own, as the first may have left a part behind. */
  renew() {
    this.assetId = freshId();
    this.failure = null;
  }
}

function guess(type) {
  const major = type.split("/")[0];
  return ["image", "video", "audio", "text"].includes(major) ? major : "other";
}
