// One asset of a turn: what it looks and sounds like, how far it has come, and the way into it.

import { mediaUrl, thumbnailPath } from "./api.js";
import { el, icon, iconButton, seen, setVariable } from "./dom.js";
import { explain } from "./errors.js";
import { bytes, clock, seconds } from "./format.js";
import { localFrames, storedFrames } from "./frames.js";
import { iconOf, kindOf } from "./kinds.js";
import { makePlayer } from "./player.js";
import { storedTranscript } from "./stored.js";
import { Transcript } from "./transcript.js";

export class MediaPanel {
  #attachment;
  #player = null;
  #status = el("span", { class: "status" });
  #bar = el("div", { class: "bar", "aria-hidden": "true" }, el("i"));
  #strip = el("div", { class: "filmstrip", role: "group", "aria-label": "Frames", hidden: true });
  #transcript = new Transcript((start_s) => this.#player?.seek?.(start_s));
  #stage = el("div", { class: "stage-place" });
  #remove;
  #facts = "";
  #sentShare = 0;

  /** `onremove` is called when the asset is taken back; without it, it cannot be. */
  constructor(attachment, onremove = null) {
    this.#attachment = attachment;
    this.#remove = onremove && iconButton("close", `Remove ${attachment.name}`, onremove);
    this.node = el(
      "figure",
      { class: "media", "data-kind": attachment.kind },
      el(
        "figcaption",
        {},
        icon(iconOf(attachment.kind)),
        el("span", { class: "name", title: attachment.name }, attachment.name),
        this.#status,
        this.#remove,
      ),
      this.#bar,
      this.#stage,
      this.#strip,
      this.#transcript.node,
    );
    if (attachment.isLive) this.#recordingBegan();
    else this.#showPlayer(attachment.kind);
    this.#say(attachment.sizeBytes ? bytes(attachment.sizeBytes) : "");
    if (attachment.isStored) this.#wasStored();
  }

  /** Goes to a place, and shows it. */
  async show(place) {
    await this.#player?.show(place);
    this.node.scrollIntoView({ block: "nearest" });
  }

  /** Takes an event of the turn that is about this asset. */
  take(name, body) {
    if (name === "assetInfo") this.#found(body);
    else if (name === "progress") this.#progressed(body);
    else if (name === "chunkAck") this.#received(body.receivedOffset);
    else if (name === "transcript") this.#transcript.add(body);
    else if (name === "partialTranscript") this.#transcript.guess(body);
    else if (name === "asset") this.#committed(body);
    else if (name === "itemError") this.#say(explain(body.error).what);
  }

  /** It cannot be used. */
  failed(failure) {
    const { what, todo } = explain(failure);
    this.node.classList.add("failed");
    this.#bar.hidden = true;
    this.#status.textContent = "";
    this.node.append(
      el(
        "p",
        { class: "problem", role: "alert" },
        icon("warning"),
        el("span", {}, `${what} ${todo}`),
      ),
    );
  }

  /** Whether it belongs to a question, and cannot be taken back by itself. */
  set isSettled(isSettled) {
    if (this.#remove) this.#remove.hidden = isSettled;
  }

  #recordingBegan() {
    this.node.classList.add("recording");
    const began = performance.now();
    const tick = setInterval(() => this.#say(clock((performance.now() - began) / 1000)), 250);
    this.#attachment.onended = () => {
      clearInterval(tick);
      this.node.classList.remove("recording");
      this.#showPlayer("audio");
    };
  }

  #wasStored() {
    this.node.classList.add("understood");
    const { widthPx, heightPx, duration_s } = this.#attachment;
    if (widthPx) this.#player?.setSize(widthPx, heightPx);
    this.#tellFacts(widthPx, heightPx, duration_s);
    this.#say(this.#facts);
    if (this.#attachment.hasSound) this.#readTranscript();
  }

  async #readTranscript() {
    // Many may be on the page, and a server that still indexes one lets it wait.
    await seen(this.node);
    try {
      this.#transcript.fill(await storedTranscript(this.#attachment.assetId));
    } catch (failure) {
      this.#transcript.failed(explain(failure).what);
    }
  }

  #showPlayer(kind) {
    if (kind === "other") return;
    this.#player = makePlayer(kind, this.#attachment.url, this.#attachment.name);
    this.#stage.replaceChildren(this.#player.node);
    const { isStored, url } = this.#attachment;
    if (kind === "video")
      this.#fillStrip(isStored ? storedFrames(this.#attachment) : localFrames(url));
  }

  async #fillStrip(frames) {
    for await (const { time_s, url } of frames) {
      this.#strip.hidden = false;
      const seek = () => this.#player.seek(time_s);
      this.#strip.append(
        el(
          "button",
          { type: "button", "aria-label": `Play at ${clock(time_s)}`, onclick: seek },
          el("img", { src: url, alt: "" }),
          el("span", { class: "time" }, clock(time_s)),
        ),
      );
    }
  }

  #found(info) {
    const kind = kindOf(info.modality);
    if (kind !== this.#attachment.kind && !this.#attachment.isLive) this.#showPlayer(kind);
    this.#attachment.kind = kind;
    this.node.dataset.kind = kind;
    if (info.widthPx) this.#player?.setSize(info.widthPx, info.heightPx);
    this.#tellFacts(info.widthPx, info.heightPx, info.duration && seconds(info.duration));
  }

  #tellFacts(widthPx, heightPx, duration_s) {
    this.#facts = [widthPx && `${widthPx} × ${heightPx}`, duration_s && clock(duration_s)]
      .filter(Boolean)
      .join(" · ");
  }

  #progressed({ receivedBytes, segmentCount = 0, encodedSegmentCount = 0, complete = false }) {
    this.#received(receivedBytes);
    const share = segmentCount ? encodedSegmentCount / segmentCount : 0;
    setVariable(this.#bar, "understood", complete ? share : share * this.#sentShare);
    if (this.#attachment.isLive) return;
    const done = complete && encodedSegmentCount >= segmentCount;
    this.#attachment.isUnderstood = done;
    this.#say(
      done ? this.#facts || "Ready" : `${encodedSegmentCount} of ${segmentCount} understood`,
    );
    this.node.classList.toggle("understood", done);
  }

  #received(count = 0) {
    const total = this.#attachment.sizeBytes;
    this.#sentShare = total ? Math.min(1, Number(count) / total) : 0;
    setVariable(this.#bar, "sent", this.#sentShare);
  }

  #committed(asset) {
    this.#attachment.isCommitted = true;
    this.#received(asset.sizeBytes);
    // What this browser cannot decode, the server can.
    if (this.#player?.isBroken) this.#showFromServer(asset);
  }

  async #showFromServer({ assetId, info }) {
    if (this.#attachment.kind === "image") {
      this.#player.replace(await mediaUrl(thumbnailPath(assetId)));
    } else if (this.#attachment.kind === "video") {
      this.#fillStrip(storedFrames({ assetId, duration_s: seconds(info.duration) }));
    }
  }

  #say(text) {
    this.#status.textContent = text;
  }
}
