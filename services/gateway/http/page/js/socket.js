// One open conversation: the WebSocket that carries StreamingConverse.

import { Failure, fromStreamError } from "./errors.js";
import { currentKey } from "./key.js";

const SUBPROTOCOL = "sensorium.converse.v1";
/** What a subprotocol may hold (RFC 9110, token). */
const KEY = /^[\w!#$%&'*+.^`|~-]*$/;
const UNSENT_BYTES_MAX = 1 << 20;
const POLL_MS = 15;

/**
 * Opens a conversation and waits until the server is ready. `onevent(name, body, turnId)` is called for
 * each event, `onclosed(failure)` once at the end, with null where the end was wanted. Throws Failure.
 */
export function openSocket(config, { onevent, onclosed }) {
  return new Promise((resolve, reject) => {
    const key = currentKey();
    const url = new URL("/v1/converse", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    if (!KEY.test(key))
      throw new Failure({
        reason: "KEY_MALFORMED",
        message: "A key has letters, digits and signs only.",
      });
    const socket = new WebSocket(url, [SUBPROTOCOL, ...(key ? [`sensorium.key.${key}`] : [])]);
    let failure = null;
    let wrapped = null;
    socket.addEventListener("open", () => socket.send(JSON.stringify({ config })));
    socket.addEventListener("message", ({ data }) => {
      const { turnId = "", ...event } = JSON.parse(data);
      const [name, body] = Object.entries(event)[0];
      if (name === "error") failure = fromStreamError(body);
      if (name === "ready") {
        wrapped = new Socket(socket);
        resolve(wrapped);
      }
      onevent(name, body, turnId);
    });
    socket.addEventListener("close", ({ code }) => {
      const cause = failure ?? lost(code);
      if (!wrapped) reject(cause ?? lost(1006));
      else onclosed(wrapped.isClosing ? null : cause);
    });
  });
}

function lost(code) {
  if (code === 1000) return null;
  const reason = code === 1012 ? "SERVER_STOPPING" : "CONNECTION_LOST";
  return new Failure({ reason, message: "The connection to the server was lost." });
}

class Socket {
  #socket;
  isClosing = false;

  constructor(socket) {
    this.#socket = socket;
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN && !this.isClosing;
  }

  /** Sends a message of the contract. */
  send(message) {
    if (this.isOpen) this.#socket.send(JSON.stringify(message));
  }

  /** Sends the next bytes of the asset announced last; waits while the network is behind. */
  async sendBytes(data) {
    if (this.isOpen) this.#socket.send(data);
    while (this.isOpen && this.#socket.bufferedAmount > UNSENT_BYTES_MAX) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Goes away: the server cancels what is under way. */
  close() {
    this.isClosing = true;
    this.#socket.close();
  }
}
