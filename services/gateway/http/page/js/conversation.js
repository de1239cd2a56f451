// Turns one after another, each knowing those before.

import { openSocket } from "./socket.js";

const PIECE_BYTES = 64 * 1024;

/** A conversation; its socket is opened when there is something to send, and again after it was lost. */
export class Conversation {
  #socket = null;
  #opening = null;
  #turn = null;

  /** `conversationId` names one that lasts; without, the server forgets it when the page is left. */
  constructor(conversationId = "") {
    this.conversationId = conversationId;
  }

  /** Begins a turn. Its listener has `event(name, body)` and `failed(failure)`. */
  begin(listener) {
    this.#turn = new Turn(this.#open(), listener);
    return this.#turn;
  }

  /** Goes away. */
  close() {
    this.#socket?.close();
    this.#socket = null;
  }

  #open() {
    if (this.#socket?.isOpen) return Promise.resolve(this.#socket);
    this.#opening ??= openSocket(this.#config(), {
      onevent: (name, body, turnId) => this.#dispatch(name, body, turnId),
      onclosed: (failure) => this.#closed(failure),
    }).then(
      (socket) => ((this.#socket = socket), socket),
    ).finally(() => (this.#opening = null));
    return this.#opening;
  }

  #config() {
    const config = { perception: { partialTranscripts: true } };
    return this.conversationId ? { ...config, conversationId: this.conversationId } : config;
  }

  #dispatch(name, body, turnId) {
    if (name === "ready") this.traceId = body.traceId;
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
  #over = false;

  constructor(connecting, listener) {
    this.id = crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    this.#connecting = connecting;
    this.#listener = listener;
    connecting.catch((failure) => this.fail(failure));
  }

  /** Whether it can still take media and a question. */
  get isOpen() {
    return !this.#over;
  }

  /** Sends an asset, after those that are being sent; resolves when its last byte is on its way. */
  attach(attachment) {
    this.#sending = this.#sending.then(() => this.#upload(attachment)).catch((error) => this.fail(error));
    return this.#sending;
  }

  /** Asks. The words go ahead of media that is still being sent, so that it is looked at for them. */
  async ask(question, assetIds = []) {
    await this.#say({ text: { text: question } });
    await this.#sending;
    await this.#say({ endTurn: { assetIds } });
  }

  /** Stops it; turnComplete follows. */
  async cancel() {
    await this.#say({ cancelTurn: {} });
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
    if (!this.#over) socket?.send({ turnId: this.id, ...message });
  }

  async #upload(attachment) {
    const socket = await this.#connecting;
    const { assetId, name, sizeBytes } = attachment;
    await this.#say({ assetStart: { assetId, name, sizeBytes: String(sizeBytes ?? 0) } });
    let sent = 0;
    for await (const piece of attachment.pieces(PIECE_BYTES)) {
      if (this.#over) return;
      await socket.sendBytes(piece);
      sent += piece.byteLength;
    }
    await this.#say({ assetFinish: { assetId, sizeBytes: String(sent) } });
  }
}
