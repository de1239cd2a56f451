// The microphone: its sound goes in while it is recorded.

import { Attachment } from "./attachment.js";
import { Failure } from "./errors.js";

const PIECE_MS = 250;
const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

/** Starts to record. Throws Failure where there is no microphone, or it may not be used. */
export async function record() {
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
    throw new Failure({ reason: "RECORDING_UNSUPPORTED", message: "" });
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    const reason = error.name === "NotFoundError" ? "MICROPHONE_MISSING" : "MICROPHONE_REFUSED";
    throw new Failure({ reason, message: error.message });
  }
  return new Recording(stream);
}

/** A recording under way, then one that is over; sent like any other attachment. */
class Recording extends Attachment {
  #recorder;
  #stream;
  #pieces = [];
  #more = Promise.withResolvers();
  #isOver = false;
  #ended = Promise.withResolvers();

  constructor(stream) {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    super(
      new File([], `recording.${mimeType?.match(/\/(\w+)/)?.[1] ?? "webm"}`, {
        type: "audio/webm",
      }),
    );
    this.sizeBytes = null;
    this.#stream = stream;
    this.#recorder = new MediaRecorder(stream, { mimeType, audioBitsPerSecond: 48_000 });
    this.#recorder.addEventListener("dataavailable", ({ data }) => this.#add(data));
    this.#recorder.addEventListener("stop", () => this.#end());
    this.#recorder.start(PIECE_MS);
  }

  /** Whether the microphone is still open. */
  get isLive() {
    return !this.#isOver;
  }

  /** Resolves when the microphone is closed. */
  get ended() {
    return this.#ended.promise;
  }

  /** Closes the microphone. */
  stop() {
    if (this.#recorder.state !== "inactive") this.#recorder.stop();
    for (const track of this.#stream.getTracks()) track.stop();
  }

  async *pieces() {
    for (let index = 0; ; index++) {
      while (index >= this.#pieces.length && !this.#isOver) await this.#more.promise;
      if (index >= this.#pieces.length) return;
      yield await this.#pieces[index].arrayBuffer();
    }
  }

  #add(data) {
    if (data.size) this.#pieces.push(data);
    this.#wake();
  }

  #end() {
    this.#isOver = true;
    this.file = new File(this.#pieces, this.name, { type: this.#recorder.mimeType });
    this.sizeBytes = this.file.size;
    this.#wake();
    this.onended?.();
    this.#ended.resolve();
  }

  #wake() {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }
}
