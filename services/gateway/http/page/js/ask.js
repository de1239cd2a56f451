// The view of a conversation: turns above, the composer below.

import { announce } from "./announcer.js";
import { Attachment } from "./attachment.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { el } from "./dom.js";
import { passesIn_ms } from "./errors.js";
import { filesAre } from "./format.js";
import { record } from "./recorder.js";
import { Thread } from "./thread.js";
import { noteTurn } from "./usage-log.js";

/**
 * Media that waits for its question holds a place among the turns of the server. After so long it is let
 * go: by then it is stored, and the question names it instead.
 */
const WAIT_FOR_QUESTION_MS = 30_000;

export class AskView {
  #conversation;
  #view = null;
  #turn = null;
  #isAnswering = false;
  #recording = null;
  #release = 0;
  #again = 0;
  #ontold;
  #thread = new Thread(
    (question) => this.#composer.propose(question),
    () => this.#stop(),
  );
  #composer = new Composer({
    onask: (question) => this.#ask(question),
    onstop: () => this.#stop(),
    onfiles: (files) => this.#addFiles(files),
    onrecord: () => this.#toggleRecording(),
    ontyping: () => this.#waitForQuestion(),
  });

  /** The conversation of an id, or a new one; `ontold()` is called when the list of them has changed. */
  constructor(id, { onmade, ontold }) {
    this.#conversation = new Conversation(id, onmade);
    this.#ontold = ontold;
    this.node = el("div", { class: "ask" }, this.#thread.node, this.#composer.node);
    this.#composer.catchDrops(this.node);
    this.node.addEventListener("keydown", ({ key }) => {
      if (key === "Escape" && this.#isAnswering) this.#stop();
    });
    if (id) this.#thread.open(id);
    else this.#thread.greet();
  }

  /** It is shown now. */
  focus() {
    this.#composer.focus();
  }

  /** It is left: nobody reads the answer any more. */
  close() {
    this.#thread.close();
    clearTimeout(this.#release);
    clearTimeout(this.#again);
    this.#recording?.stop();
    this.#turn = null;
    this.#conversation.close();
  }

  #addFiles(files) {
    for (const file of files) this.#attach(new Attachment(file));
    announce(`${filesAre(files.map(({ name }) => name))} being read.`);
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
      this.#thread.tell(failure);
      return;
    }
    this.#composer.isRecording = true;
    announce("Recording.");
    this.#attach(this.#recording);
    this.#recording.ended.then(() => {
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
    this.#thread.scrollToEnd();
    return this.#sendMedia(view).then(() => this.#waitForQuestion());
  }

  #pendingView() {
    this.#view ??= this.#thread.add();
    return this.#view;
  }

  /** Sends what is not stored yet, in the open turn or in a new one; resolves when all is on its way. */
  #sendMedia(view) {
    if (!this.#turn?.isOpen) {
      const turn = this.#conversation.begin({
        event: (name, body) => this.#take(turn, view, name, body),
        failed: (failure) => this.#failed(turn, view, failure),
      });
      this.#turn = turn;
    }
    for (const attachment of view.attachments) {
      if (attachment.isCommitted || attachment.failure || this.#turn.has(attachment)) continue;
      const oldId = attachment.assetId;
      attachment.beSent();
      view.renamed(attachment, oldId);
      this.#turn.attach(attachment);
    }
    return this.#turn.sent;
  }

  #takeBack(attachment) {
    const view = this.#view;
    attachment.stop?.();
    view.removeMedia(attachment);
    this.#beginAnew(view);
    this.#composer.focus();
  }

  /** Leaves the open turn; media that is left goes into another one. */
  #beginAnew(view) {
    clearTimeout(this.#again);
    this.#turn?.cancel();
    this.#turn = null;
    if (view.attachments.length) {
      this.#sendMedia(view).then(() => this.#waitForQuestion());
    } else {
      this.#thread.drop(view);
      this.#view = null;
    }
  }

  #waitForQuestion() {
    clearTimeout(this.#release);
    if (this.#isAnswering) return;
    this.#release = setTimeout(() => {
      const media = this.#view?.attachments ?? [];
      if (media.every((one) => one.isCommitted || one.failure)) this.#turn?.cancel();
      else this.#waitForQuestion();
    }, WAIT_FOR_QUESTION_MS);
  }

  // --- question and answer ----------------------------------------------------------------

  #ask(question) {
    this.#recording?.stop();
    const view = this.#pendingView();
    view.ask(question);
    this.#thread.scrollToEnd();
    this.#send(view);
  }

  #send(view) {
    this.#isAnswering = this.#composer.isBusy = true;
    this.#view = view;
    view.begin();
    this.#sendQuestion(view);
  }

  /** Asks the question of a view: what is stored since an earlier try is named, the rest sent. */
  #sendQuestion(view) {
    clearTimeout(this.#release);
    clearTimeout(this.#again);
    this.#sendMedia(view);
    const stored = view.attachments.filter((one) => one.isCommitted && !this.#turn.has(one));
    this.#turn.ask(
      view.question,
      stored.map((one) => one.assetId),
    );
  }

  /** Stops the answer; a question that still waits is taken back instead, and its media kept. */
  #stop() {
    const view = this.#view;
    if (!view.isWaiting) {
      this.#turn.cancel();
      return;
    }
    this.#composer.giveBack(view.takeBackQuestion());
    this.#isAnswering = this.#composer.isBusy = false;
    this.#beginAnew(view);
    announce("The question was taken back.");
  }

  #take(turn, view, name, body) {
    view.take(name, body, this.#conversation.traceId);
    if (name === "token") this.#thread.follow();
    if (name !== "turnComplete" || turn !== this.#turn || !view.question) return;
    noteTurn(view.question, body);
    this.#over();
    this.#ontold();
  }

  #failed(turn, view, failure) {
    if (turn !== this.#turn) return;
    const delay_ms = passesIn_ms(failure);
    if (delay_ms) {
      view.waitFor(failure);
      clearTimeout(this.#again);
      this.#again = setTimeout(() => this.#tryAgain(view), delay_ms);
      return;
    }
    view.failed(failure, () => (view.question ? this.#send(view) : this.#sendMedia(view)));
    if (view.question) this.#over();
    else this.#turn = null;
  }

  #tryAgain(view) {
    if (view.question) this.#sendQuestion(view);
    else this.#sendMedia(view).then(() => this.#waitForQuestion());
  }

  #over() {
    this.#turn = this.#view = null;
    this.#isAnswering = this.#composer.isBusy = false;
  }
}
