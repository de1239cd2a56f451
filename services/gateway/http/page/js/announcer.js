// What a screen reader is told: whole sentences, not tokens.

const QUIET_MS = 150;
const region = document.getElementById("announcer");
let waiting = [];
let timer = 0;

/** Says a text once what is being said now is over. */
export function announce(text) {
  waiting.push(text);
  clearTimeout(timer);
  // What comes in the same moment is said in one go.
  timer = setTimeout(() => {
    region.textContent = waiting.join(" ");
    waiting = [];
  }, QUIET_MS);
}

/** Says a growing text sentence by sentence. */
export class SentenceAnnouncer {
  #unsaid = "";

  add(text) {
    this.#unsaid += text;
    const end = this.#unsaid.search(/[.!?][\s"')\]]*(?=\s\S)/);
    if (end < 0) return;
    announce(this.#unsaid.slice(0, end + 1));
    this.#unsaid = this.#unsaid.slice(end + 1);
  }

  end() {
    if (this.#unsaid.trim()) announce(this.#unsaid);
    this.#unsaid = "";
  }
}
