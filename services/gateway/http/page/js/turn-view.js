// One turn on the page: its media, the question, the answer.

import { Answer } from "./answer.js";
import { el } from "./dom.js";
import { MediaPanel } from "./media-panel.js";
import { notice } from "./notice.js";
import { weightsOf } from "./pieces.js";
import { storedAsset } from "./stored.js";
import { Waiting } from "./waiting.js";
import { workOf } from "./work.js";

const OF_MEDIA = new Set([
  "assetInfo",
  "progress",
  "chunkAck",
  "transcript",
  "partialTranscript",
  "asset",
]);

const OF_ANSWER = new Set(["evidence", "token", "citation", "turnComplete"]);

export class TurnView {
  attachments = [];
  question = "";
  #panels = new Map();
  #media = el("div", { class: "media-list" });
  #question = el("h2", { class: "question", hidden: true });
  #problems = el("div");
  #notice = null;
  #isDue = false;
  #onshow;
  #waiting;

  /**
   * `onshow(piece)` goes to the place of a piece of evidence, wherever it is; `oncancel()` is called when
   * the question is to be taken back.
   */
  constructor(onshow, oncancel = () => {}) {
    this.#onshow = onshow;
    this.#waiting = new Waiting(oncancel);
    this.answer = new Answer(onshow);
    this.node = el(
      "article",
      { class: "turn" },
      this.#media,
      el(
        "div",
        { class: "talk" },
        this.#question,
        this.#waiting.node,
        this.answer.node,
        this.#problems,
      ),
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
    this.#showQuestion(question);
    for (const panel of this.#panels.values()) panel.isSettled = true;
  }

  /** The question is taken back; what it was. The media stays. */
  takeBackQuestion() {
    const { question } = this;
    this.#showQuestion("");
    this.#isDue = false;
    this.#waiting.end();
    this.answer.node.hidden = true;
    for (const panel of this.#panels.values()) panel.isSettled = false;
    return question;
  }

  #showQuestion(question) {
    this.question = question;
    this.#question.textContent = question;
    this.#question.hidden = !question;
  }

  /** An answer is on its way; what came of an earlier try is gone. */
  begin() {
    const answer = new Answer(this.#onshow);
    this.answer.node.replaceWith(answer.node);
    this.answer = answer;
    answer.begin();
    this.#notice?.remove();
    this.#isDue = true;
    this.#waiting.forMedia(this.attachments);
  }

  /** Whether the question waits for media or for the server. */
  get isWaiting() {
    return this.#isDue && this.#waiting.isShown;
  }

  /** It is sent once a failure has passed. */
  waitFor(failure) {
    this.#waiting.forServer(failure, Boolean(this.question));
  }

  /** A turn of earlier, as it was. */
  restore(turn) {
    this.#showQuestion(turn.question);
    this.answer.restore(turn);
    this.#restoreMedia(turn.assetIds);
  }

  async #restoreMedia(assetIds) {
    const found = await Promise.allSettled(assetIds.map(storedAsset));
    // What is not stored any more is left out.
    const assets = found.map(({ value }) => value).filter(Boolean);
    for (const asset of assets) this.addMedia(asset);
    for (const asset of assets) this.#noteOriginal(asset);
  }

  /** Takes an event of the conversation that belongs to this turn. */
  take(name, body, traceId) {
    if (name === "asset") this.#noteOriginal(body);
    if (OF_MEDIA.has(name)) this.#takeMedia(name, body);
    else if (name === "itemError") this.#panels.get(body.itemId.split("/")[0])?.take(name, body);
    else if (name === "moderation") this.#tellFlagged(body);
    else if (OF_ANSWER.has(name)) this.#takeAnswer(name, body, traceId);
  }

  #takeMedia(name, body) {
    this.#panels.get(body.assetId)?.take(name, body);
    if (this.#isDue) this.#waiting.forMedia(this.attachments);
    else this.#waiting.end();
  }

  #takeAnswer(name, body, traceId) {
    this.#isDue = false;
    this.#waiting.end();
    if (name === "evidence") this.answer.setEvidence(weightsOf(body));
    else if (name === "token") this.answer.addToken(body);
    else if (name === "citation") this.answer.addCitation(body);
    else if (this.question) this.answer.complete(workOf(body, traceId));
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
    this.#isDue = false;
    this.#waiting.end();
    const atFault = this.attachments.find((attachment) => attachment.assetId === failure.subject);
    if (atFault) {
      atFault.failure = failure;
      this.#panels.get(atFault.assetId).failed(failure);
    }
    if (atFault && !this.question) return;
    this.#notice?.remove();
    this.#notice = notice(failure, onretry);
    this.#problems.append(this.#notice);
  }
}
