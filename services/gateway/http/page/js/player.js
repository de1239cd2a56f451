// Shows an asset and goes to a place in it: plays from a second, draws a region, marks characters.

import { el, svg } from "./dom.js";
import { happens } from "./media-events.js";

/** A player of one asset. `kind` is image, video, audio or text; `url` gives its bytes. */
export function makePlayer(kind, url, name) {
  if (kind === "image") return new Picture(url, name);
  if (kind === "video" || kind === "audio") return new Sound(kind, url, name);
  return new Text(url, name);
}

class Picture {
  isBroken = false;
  #overlay = overlay();

  constructor(url, name) {
    this.image = el("img", { src: url, alt: name });
    this.image.addEventListener("error", () => (this.isBroken = true), { once: true });
    this.node = el("div", { class: "stage picture" }, this.image, this.#overlay);
  }

  setSize(width, height) {
    this.#overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }

  /** Shows other bytes of the same picture. */
  replace(url) {
    this.image.src = url;
  }

  async show({ region }) {
    await this.image.decode().catch(() => {});
    // Before the server has told the size, it is that of the picture itself.
    if (!this.#overlay.hasAttribute("viewBox"))
      this.setSize(this.image.naturalWidth, this.image.naturalHeight);
    draw(this.#overlay, region);
  }
}

class Sound {
  isBroken = false;
  #isSeekable;
  #overlay = overlay();

  constructor(kind, url, name) {
    this.media = el(kind, {
      src: url,
      controls: true,
      preload: "metadata",
      playsinline: kind === "video",
      "aria-label": name,
    });
    this.#isSeekable = happens(this.media, "loadedmetadata").then(() => findLength(this.media));
    this.media.addEventListener("play", () => {
      draw(this.#overlay, null);
      silenceOthers(this.media);
    });
    this.media.addEventListener("error", () => this.#cannotPlay());
    this.node = el(
      "div",
      { class: `stage ${kind}` },
      this.media,
      kind === "video" && this.#overlay,
    );
  }

  setSize(width, height) {
    this.#overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  }

  async show({ span, region }) {
    if (span) await this.seek(span.start_s);
    draw(this.#overlay, region);
  }

  /** Plays from a second on. */
  async seek(time_s) {
    if (this.isBroken) return;
    const { media } = this;
    if (media.readyState < HTMLMediaElement.HAVE_METADATA) media.preload = "auto";
    await this.#isSeekable;
    media.currentTime = time_s;
    // A browser may want a gesture first: then it stands at the second, ready to play.
    await media.play().catch(() => {});
  }

  #cannotPlay() {
    this.isBroken = true;
    this.node.append(
      el("p", { class: "note" }, "This browser cannot play it, but it can be asked about."),
    );
  }
}

class Text {
  #body = el("pre", { tabindex: "0" });

  constructor(url, name) {
    this.#body.setAttribute("aria-label", name);
    this.node = el("div", { class: "stage text" }, this.#body);
    this.ready = fetch(url)
      .then((response) => response.text())
      .then((text) => {
        this.characters = Array.from(text);
        this.#body.textContent = text;
      })
      .catch(() => this.node.append(el("p", { class: "note" }, "This text cannot be shown now.")));
  }

  setSize() {}

  async show({ chars }) {
    await this.ready;
    if (!chars || !this.characters) return;
    // Ranges count code points, JavaScript's strings UTF-16.
    const part = (start, end) => this.characters.slice(start, end).join("");
    const mark = el("mark", {}, part(chars.start, chars.end));
    this.#body.replaceChildren(part(0, chars.start), mark, part(chars.end));
    mark.scrollIntoView({ block: "nearest" });
  }
}

function overlay() {
  return svg("svg", { class: "overlay", "aria-hidden": "true", preserveAspectRatio: "none" });
}

// The region in a frame, and what is not in it darker.
function draw(layer, region) {
  layer.replaceChildren();
  if (!region || !layer.hasAttribute("viewBox")) return;
  const { left, top, width, height } = region;
  const whole = layer.viewBox.baseVal;
  const outside = `M0 0H${whole.width}V${whole.height}H0Z M${left} ${top}v${height}h${width}v${-height}Z`;
  const frame = { x: left, y: top, width, height, "vector-effect": "non-scaling-stroke" };
  layer.append(
    svg("path", { class: "outside", d: outside, "fill-rule": "evenodd" }),
    svg("rect", { class: "casing", ...frame }),
    svg("rect", { class: "region", ...frame }),
  );
}

// What a recorder writes states no length until it was read to its end once.
async function findLength(media) {
  if (media.duration !== Infinity) return;
  media.currentTime = Number.MAX_SAFE_INTEGER;
  await happens(media, "durationchange", "seeked");
  media.currentTime = 0;
}

function silenceOthers(media) {
  for (const other of document.querySelectorAll("audio, video")) if (other !== media) other.pause();
}
