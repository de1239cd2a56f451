// The view of a conversation: turns above, the composer below.

import { announce } from "./announcer.js";
import { Attachment } from "./attachment.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { el } from "./dom.js";
import { examples } from "./examples.js";
import { notice } from "./notice.js";
import { record } from "./recorder.js";
import { TurnView } from "./turn-view.js";

/**
 * Media that waits for its question holds a place among the turns of the server. After so long it is let
 * go: by then it is stored, and the question names it instead.
 */
const WAIT_FOR_QUESTION_MS = 30_000;

export class AskView {
  #conversation;
  #views = [];
  #view = null;
  #turn = null;
  #isAnswering = false;
  #recording = null;
  #release = 0;
  #thread = el("div", { class: "thread" });
  #composer = new Composer({
    onask: (question) => this.#ask(question),
    onstop: () => this.#turn?.cancel(),
    onfiles: (files) => this.#addFiles(files),
    onrecord: () => this.#toggleRecording(),
    ontyping: () => this.#waitForQuestion(),
  });
  #empty = examples((question) => this.#composer.propose(question));

  constructor(conversation = new Conversation()) {
    this.#conversation = conversation;
    this.node = el("div", { class: "ask" }, this.#thread, this.#composer.node);
    this.#thread.append(this.#empty);
    this.#composer.catchDrops(this.node);
  }

  /** It is shown now. */
  focus() {
    this.#composer.focus();
  }

  /** It is left: nobody reads the answer any more. */
  close() {
    clearTimeout(this.#release);
    this.#recording?.stop();
    this.#conversation.close();
  }

  #addFiles(files) {
    for (const file of files) this.#attach(new Attachment(file));
    announce(files.length === 1 ? `${files[0].name} is being read.` : `${files.length} files are being read.`);
    this.#composer.focus();
  }

  async #toggleRecording() {
    if (this.#recording) {
      this.#recording.stop();
      return;
    }
    try {
      this.#recording = await record();
    } catch (failure) {
      this.#thread.append(notice(failure));
      return;
    }
    this.#composer.isRecording = true;
    announce("Recording.");
    this.#attach(this.#recording).then(() => {
      this.#recording = null;
      this.#composer.isRecording = false;
      announce("The recording is over.");
      this.#composer.focus();
    });
  }

  // --- the turn that takes media now ------------------------------------------------------

  #attach(attachment) {
    const view = this.#pendingView();
    view.addMedia(attachment, () => this.#takeBack(attachment));
    this.#openTurn(view);
    this.#follow(view);
    return this.#turn.attach(attachment).then(() => this.#waitForQuestion());
  }

  #pendingView() {
    if (this.#view) return this.#view;
    this.#empty.remove();
    this.#view = new TurnView((evidence) => this.#show(evidence));
    this.#views.push(this.#view);
    this.#thread.append(this.#view.node);
    return this.#view;
  }

  /** The open turn of a view; a new one where there is none, with what was attached before. */
  #openTurn(view) {
    if (this.#turn?.isOpen) return;
    const turn = this.#conversation.begin({
      event: (name, body) => this.#take(turn, view, name, body),
      failed: (failure) => this.#failed(turn, view, failure),
    });
    this.#turn = turn;
    for (const attachment of view.attachments.slice(0, -1)) this.#attachAgain(turn, view, attachment);
  }

  #attachAgain(turn, view, attachment) {
    if (attachment.isCommitted || attachment.failure) return;
    const oldId = attachment.assetId;
    attachment.renew();
    view.renamed(attachment, oldId);
    turn.attach(attachment);
  }

  async #takeBack(attachment) {
    attachment.stop?.();
    this.#view.removeMedia(attachment);
    await this.#turn?.cancel();
    this.#turn = null;
    this.#composer.focus();
  }

  #waitForQuestion() {
    clearTimeout(this.#release);
    if (this.#isAnswering) return;
    this.#release = setTimeout(() => {
      if (!this.#recording) this.#turn?.cancel();
    }, WAIT_FOR_QUESTION_MS);
  }

  // --- question and answer ----------------------------------------------------------------

  async #ask(question) {
    clearTimeout(this.#release);
    this.#recording?.stop();
    const view = this.#pendingView();
    const turn = this.#turn?.isOpen ? this.#turn : null;
    view.ask(question);
    this.#follow(view);
    this.#isAnswering = this.#composer.isBusy = true;
    if (turn) turn.ask(question);
    else this.#askAnew(view);
  }

  /** Asks in a turn of its own: what is stored is named, what is not is sent (again). */
  #askAnew(view) {
    this.#isAnswering = this.#composer.isBusy = true;
    this.#view = view;
    const turn = this.#conversation.begin({
      event: (name, body) => this.#take(turn, view, name, body),
      failed: (failure) => this.#failed(turn, view, failure),
    });
    this.#turn = turn;
    for (const attachment of view.attachments) this.#attachAgain(turn, view, attachment);
    const stored = view.attachments.filter((attachment) => attachment.isCommitted);
    turn.ask(view.question, stored.map((attachment) => attachment.assetId));
  }

  #take(turn, view, name, body) {
    view.take(name, body, this.#conversation.traceId);
    if (name === "token") this.#follow(view);
    if (name === "turnComplete" && turn === this.#turn && view.question) this.#over();
  }

  #failed(turn, view, failure) {
    if (turn !== this.#turn) return;
    view.failed(failure, view.question ? () => this.#askAnew(view) : null);
    if (view.question) this.#over();
    else this.#turn = null;
  }

  #over() {
    this.#turn = this.#view = null;
    this.#isAnswering = this.#composer.isBusy = false;
  }

  /** Goes to a place in an asset, wherever on the page it is. */
  #show(evidence) {
    for (const view of this.#views) {
      const panel = view.panel(evidence.assetId);
      if (panel) return panel.show(evidence.locator);
    }
    return null;
  }

  /** Keeps the newest words in sight, unless the reader has scrolled away. */
  #follow(view) {
    const { scrollHeight, scrollTop, clientHeight } = this.#thread;
    if (scrollHeight - scrollTop - clientHeight < 240 || !view.question) {
      this.#thread.scrollTop = this.#thread.scrollHeight;
    }
  }
}
