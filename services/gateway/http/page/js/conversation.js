// Turns one after another, each knowing those before.

import { createConversation } from "./conversation-api.js";
import { openSocket } from "./socket.js";

const LASTS_NOT = new Set(["PATH_UNKNOWN", "METHOD_NOT_ALLOWED", "DATABASE_UNAVAILABLE"]);
const PIECE_BYTES = 64 * 1024;

/** A conversation; its socket is opened when there is something to send, and again after it was lost. */
export class Conversation {
  #socket = null;
  #opening = null;
  #turn = null;
  #onmade;
  #traceId = "";

  /** `id` names one that lasts; without it one is made at the first turn, and `onmade(id)` called. */
  constructor(id = "", onmade = () => {}) {
    this.id = id;
    this.#onmade = onmade;
  }

  /** Begins a turn. Its listener has `event(name, body)` and `failed(failure)`. */
  begin(listener) {
    this.#turn = new Turn(this.#open(), listener);
    return this.#turn;
  }

  /** The trace of its socket, which its turns are part of. */
  get traceId() {
    return this.#traceId;
  }

  /** Goes away. */
  close() {
    this.#socket?.close();
    this.#socket = null;
  }

  #open() {
    if (this.#socket?.isOpen) return Promise.resolve(this.#socket);
    this.#opening ??= this.#connect().finally(() => (this.#opening = null));
    return this.#opening;
  }

  async #connect() {
    await this.#make();
    this.#socket = await openSocket(
      { conversationId: this.id, perception: { partialTranscripts: true } },
      {
        onevent: (name, body, turnId) => this.#dispatch(name, body, turnId),
        onclosed: (failure) => this.#closed(failure),
      },
    );
    return this.#socket;
  }

  async #make() {
    if (this.id) return;
    try {
      this.id = await createConversation();
      this.#onmade(this.id);
    } catch (failure) {
      // A server without a database for them: it lasts as long as the page is open.
      if (!LASTS_NOT.has(failure.reason)) throw failure;
    }
  }

  #dispatch(name, body, turnId) {
    if (name === "ready") this.#traceId = body.traceId;
    else if (this.#turn && (!turnId || turnId === this.#turn.id)) this.#turn.take(name, body);
  }

  #closed(failure) {
    this.#socket = null;
    if (failure) this.#turn?.fail(failure);
  }
}

/** One turn: media in any number, one question, then the answer. */
export class Turn {
  #connecting;
  #listener;
  #sending = Promise.resolve();
  #attached = new Set();
  #isCancelled = false;
  #over = false;

  constructor(connecting, listener) {
    this.id = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    this.#connecting = connecting;
    this.#listener = listener;
    connecting.catch((failure) => this.fail(failure));
  }

  /** Whether it can still take media and a question. */
  get isOpen() {
    return !this.#over && !this.#isCancelled;
  }

  /** Resolves when all that was attached is on its way. */
  get sent() {
    return this.#sending;
  }

  /** Whether an asset was attached. */
  has(attachment) {
    return this.#attached.has(attachment);
  }

  /** Sends an asset, after those that are being sent. */
  attach(attachment) {
    this.#attached.add(attachment);
    this.#sending = this.#sending
      .then(() => this.#upload(attachment))
      .catch((error) => this.fail(error));
  }

  /** Asks. The words go ahead of media that is still being sent, so that it is looked at for them. */
  async ask(question, assetIds = []) {
    await this.#say({ text: { text: question } });
    await this.#sending;
    await this.#say({ endTurn: { assetIds } });
  }

  /** Stops it; turnComplete follows. */
  async cancel() {
    if (!this.isOpen) return;
    this.#isCancelled = true;
    const socket = await this.#connecting.catch(() => null);
    if (!this.#over) socket?.send({ turnId: this.id, cancelTurn: {} });
  }

  take(name, body) {
    if (name === "turnComplete") this.#over = true;
    if (name !== "error") this.#listener.event(name, body);
  }

  fail(failure) {
    if (this.#over) return;
    this.#over = true;
    this.#listener.failed(failure);
  }

  async #say(message) {
    const socket = await this.#connecting.catch(() => null);
    if (this.isOpen) socket?.send({ turnId: this.id, ...message });
  }

  async #upload(attachment) {
    const socket = await this.#connecting;
    const { assetId, name, sizeBytes } = attachment;
    await this.#say({ assetStart: { assetId, name, sizeBytes: String(sizeBytes ?? 0) } });
    let sent = 0;
    for await (const piece of attachment.pieces(PIECE_BYTES)) {
      if (!this.isOpen) return;
      await socket.sendBytes(piece);
      sent += piece.byteLength;
    }
    await this.#say({ assetFinish: { assetId, sizeBytes: String(sent) } });
  }
}
