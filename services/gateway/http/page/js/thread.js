// The turns of a conversation, one below the other.

import { readConversation } from "./conversation-api.js";
import { el } from "./dom.js";
import { explain, passesIn_ms } from "./errors.js";
import { examples } from "./examples.js";
import { notice } from "./notice.js";
import { storedAsset } from "./stored.js";
import { TurnView } from "./turn-view.js";

const NEAR_THE_END_PX = 240;

export class Thread {
  #views = [];
  #greeting;
  #oncancel;
  #isClosed = false;
  #note = el("p", { class: "note", role: "status" });

  /**
   * `onexample(question)` is called when an example of the greeting is chosen, `oncancel()` when a question
   * that waits is to be taken back.
   */
  constructor(onexample, oncancel) {
    this.#oncancel = oncancel;
    this.#greeting = examples(onexample);
    this.node = el("div", {
      class: "thread",
      role: "region",
      "aria-label": "Conversation",
      tabindex: "0",
    });
  }

  /** There is nothing yet. */
  greet() {
    this.node.append(this.#greeting);
  }

  /** A new turn at the end. */
  add() {
    this.#greeting.remove();
    const view = new TurnView((piece) => this.#show(view, piece), this.#oncancel);
    this.#views.push(view);
    this.node.append(view.node);
    return view;
  }

  /** Shows the turns of a conversation of earlier, before those that came meanwhile. */
  async open(id) {
    let turns;
    try {
      turns = await readConversation(id);
    } catch (failure) {
      this.#cannotOpen(id, failure);
      return;
    }
    this.#note.remove();
    const views = turns.map((turn) => {
      const view = new TurnView((piece) => this.#show(view, piece));
      view.restore(turn);
      return view;
    });
    this.#views.unshift(...views);
    this.node.prepend(...views.map(({ node }) => node));
    this.scrollToEnd();
  }

  /** It is left. */
  close() {
    this.#isClosed = true;
  }

  #cannotOpen(id, failure) {
    const delay_ms = passesIn_ms(failure);
    if (!delay_ms) {
      this.tell(failure, () => this.open(id));
      return;
    }
    this.#note.textContent = explain(failure).what;
    this.node.prepend(this.#note);
    setTimeout(() => this.#isClosed || this.open(id), delay_ms);
  }

  /** Takes a turn out. */
  drop(view) {
    view.node.remove();
    this.#views = this.#views.filter((other) => other !== view);
    if (!this.#views.length) this.greet();
  }

  /** Tells of a failure that belongs to no turn. */
  tell(failure, onretry = null) {
    this.node.append(notice(failure, onretry));
  }

  /** Goes to the end. */
  scrollToEnd() {
    this.node.scrollTop = this.node.scrollHeight;
  }

  /** Keeps new words in sight, unless the reader has scrolled away. */
  follow() {
    const { scrollHeight, scrollTop, clientHeight } = this.node;
    if (scrollHeight - scrollTop - clientHeight < NEAR_THE_END_PX) this.scrollToEnd();
  }

  /** Goes to a place in an asset: where it is on the page, or else in the turn that cites it. */
  async #show(view, { assetId, place }) {
    const holder = [view, ...this.#views].find((other) => other.panel(assetId));
    if (!holder) {
      try {
        view.addMedia(await storedAsset(assetId));
      } catch (failure) {
        view.failed(failure, null);
        return;
      }
    }
    await (holder ?? view).panel(assetId).show(place);
  }
}
