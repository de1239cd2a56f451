// The answer of a turn: its words as they come, then its sources, evidence and time.

import { SentenceAnnouncer, announce } from "./announcer.js";
import { CitationList } from "./citations.js";
import { el } from "./dom.js";
import { evidenceSection } from "./evidence.js";
import { bytes, count, lapse } from "./format.js";
import { pieceOf } from "./pieces.js";
import { traceSection } from "./trace.js";

const ENDS = {
  length: "It reached the longest answer allowed.",
  cancelled: "Stopped.",
  content_filter: "The rest was kept back by the rules of this server.",
};

export class Answer {
  #text = "";
  #words = el("p", { class: "words" });
  #note = el("p", { class: "note", hidden: true });
  #facts = el("p", { class: "facts", hidden: true });
  #more = el("div", { class: "more" });
  #announcer = new SentenceAnnouncer();
  #citations;
  #onshow;

  /** `onshow(piece)` goes to the place of a piece of evidence. */
  constructor(onshow) {
    this.#onshow = onshow;
    this.#citations = new CitationList(onshow);
    this.node = el(
      "div",
      { class: "answer", hidden: true },
      this.#words,
      this.#note,
      this.#citations.node,
      this.#facts,
      this.#more,
    );
  }

  /** The question was sent: something will come. */
  begin() {
    this.node.hidden = false;
    this.node.classList.add("writing");
    this.#words.setAttribute("aria-busy", "true");
    announce("Working on the answer.");
  }

  addToken({ text = "" }) {
    this.#text += text;
    this.#words.append(text);
    this.#announcer.add(text);
  }

  addCitation({ evidence, basis }) {
    this.#citations.add(pieceOf(evidence), basis.replace("CITATION_BASIS_", "").toLowerCase());
    this.#link();
  }

  /** What it is weighed from, as pieces.js has it. */
  setEvidence(weights) {
    if (weights.pieces.length) this.#more.prepend(evidenceSection(weights, this.#onshow));
  }

  /** The turn is over, and took some work. */
  complete(work) {
    this.stop();
    this.#announcer.end();
    this.#showWork(work);
  }

  /** An answer of earlier, as it was; citations are {piece, basis}. */
  restore({ answer, citations, weights, work }) {
    this.node.hidden = false;
    this.#text = answer;
    for (const { piece, basis } of citations) this.#citations.add(piece, basis);
    this.#link();
    this.setEvidence(weights);
    this.#showWork(work);
  }

  /** Nothing more will come. */
  stop() {
    this.node.classList.remove("writing");
    this.#words.removeAttribute("aria-busy");
    this.node.hidden = false;
  }

  #showWork({ finish, tokenCount, mediaBytes, isCached, timings, trace }) {
    this.#tell(ENDS[finish]);
    this.#facts.textContent = [
      isCached && "from the cache",
      timings?.waited_s && `first word after ${lapse(timings.waited_s)}`,
      tokenCount && count(tokenCount, "token"),
      mediaBytes && `${bytes(mediaBytes)} of media`,
    ]
      .filter(Boolean)
      .join(" · ");
    this.#facts.hidden = !this.#facts.textContent;
    if (timings) this.#more.append(traceSection(timings, trace));
  }

  #link() {
    this.#words.replaceChildren(...this.#citations.linked(this.#text));
  }

  #tell(note) {
    this.#note.textContent = note ?? "";
    this.#note.hidden = !note;
  }
}
