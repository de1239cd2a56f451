// One turn on the page: its media, the question, the answer.

import { Answer } from "./answer.js";
import { el } from "./dom.js";
import { MediaPanel } from "./media-panel.js";
import { notice } from "./notice.js";
import { storedAsset } from "./stored.js";

const OF_MEDIA = new Set([
  "assetInfo",
  "progress",
  "chunkAck",
  "transcript",
  "partialTranscript",
  "asset",
]);

export class TurnView {
  attachments = [];
  question = "";
  #panels = new Map();
  #media = el("div", { class: "media-list" });
  #question = el("h2", { class: "question", hidden: true });
  #problems = el("div");
  #onshow;

  /** `onshow(piece)` goes to the place of a piece of evidence, wherever it is. */
  constructor(onshow) {
    this.#onshow = onshow;
    this.answer = new Answer(onshow);
    this.node = el(
      "article",
      { class: "turn" },
      this.#media,
      el("div", { class: "talk" }, this.#question, this.answer.node, this.#problems),
    );
  }

  /** Adds an asset; `onremove` is called when it is taken back. */
  addMedia(attachment, onremove = null) {
    if (this.#panels.has(attachment.assetId)) return;
    const panel = new MediaPanel(attachment, onremove);
    this.attachments.push(attachment);
    this.#panels.set(attachment.assetId, panel);
    this.#media.append(panel.node);
    this.node.classList.add("with-media");
  }

  /** Takes an asset back. */
  removeMedia(attachment) {
    this.attachments = this.attachments.filter((other) => other !== attachment);
    this.#panels.get(attachment.assetId)?.node.remove();
    this.#panels.delete(attachment.assetId);
    this.node.classList.toggle("with-media", this.#panels.size > 0);
  }

  /** An attachment has another id from now on. */
  renamed(attachment, oldId) {
    const panel = this.#panels.get(oldId);
    this.#panels.delete(oldId);
    this.#panels.set(attachment.assetId, panel);
  }

  /** The panel of an asset, if it is part of this turn. */
  panel(assetId) {
    return this.#panels.get(assetId);
  }

  /** The question was asked. */
  ask(question) {
    this.question = question;
    this.#question.textContent = question;
    this.#question.hidden = false;
    for (const panel of this.#panels.values()) panel.settle();
  }

  /** An answer is on its way; what came of an earlier try is gone. */
  begin() {
    const answer = new Answer(this.#onshow);
    this.answer.node.replaceWith(answer.node);
    this.answer = answer;
    answer.begin();
  }

  /** A turn of earlier, as it was. */
  restore(turn) {
    this.question = turn.question;
    this.#question.textContent = turn.question;
    this.#question.hidden = false;
    this.answer.restore(turn);
    this.#restoreMedia(turn.assetIds);
  }

  async #restoreMedia(assetIds) {
    const found = await Promise.allSettled(assetIds.map(storedAsset));
    // What is not stored any more is left out.
    for (const { value: asset } of found) if (asset) this.addMedia(asset);
  }

  /** Takes an event of the conversation that belongs to this turn. */
  take(name, body, trace) {
    if (name === "asset") this.#noteOriginal(body);
    if (OF_MEDIA.has(name)) this.#panels.get(body.assetId)?.take(name, body);
    else if (name === "itemError") this.#panels.get(body.itemId.split("/")[0])?.take(name, body);
    else if (name === "moderation") this.#tellFlagged(body);
    else if (name === "evidence") this.answer.setEvidence(body);
    else if (name === "token") this.answer.addToken(body);
    else if (name === "citation") this.answer.addCitation(body);
    else if (name === "turnComplete" && this.question) this.answer.complete(body, trace);
  }

  // Evidence names equal bytes by the asset that first had them.
  #noteOriginal({ assetId, duplicateOf }) {
    if (duplicateOf && !this.#panels.has(duplicateOf)) {
      this.#panels.set(duplicateOf, this.#panels.get(assetId));
    }
  }

  #tellFlagged({ part, score }) {
    const what = part.replace("MODERATED_PART_", "").toLowerCase();
    this.#problems.append(
      el("p", { class: "note" }, `The rules of this server flag the ${what}: ${score.category}.`),
    );
  }

  /** It failed: shown at the asset at fault, if one is, else below the question. */
  failed(failure, onretry) {
    if (this.question) this.answer.stop();
    const atFault = this.attachments.find((attachment) => attachment.assetId === failure.subject);
    if (atFault) {
      atFault.failure = failure;
      this.#panels.get(atFault.assetId).failed(failure);
    }
    if (!atFault || this.question) this.#problems.replaceChildren(notice(failure, onretry));
  }
}
