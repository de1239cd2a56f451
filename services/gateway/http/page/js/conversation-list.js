// The conversations of the side bar: opened, renamed, deleted.

import { announce } from "./announcer.js";
import { deleteConversation, listConversations, renameConversation } from "./conversation-api.js";
import { el, icon, iconButton } from "./dom.js";
import { count, moment } from "./format.js";
import { notice } from "./notice.js";

const SHOWN_AT_ONCE = 100;

export class ConversationList {
  #node;
  #menu;
  #list = el("ul");
  #problem = el("div");
  #older = el(
    "button",
    { type: "button", class: "quiet small", hidden: true, onclick: () => this.#showOlder() },
    "Show older",
  );
  #current = "";
  #nextPageToken = "";
  #reading = Promise.resolve();

  /** Fills a node, which `menu` opens on narrow screens; hidden where the server keeps none. */
  constructor(node, menu) {
    this.#node = node;
    this.#menu = menu;
    menu.addEventListener("click", () => this.#open(menu.getAttribute("aria-expanded") !== "true"));
    document.addEventListener("keydown", ({ key }) => key === "Escape" && this.#open(false));
    node.append(
      el(
        "div",
        { class: "heading" },
        el("h2", {}, "Conversations"),
        el(
          "a",
          {
            class: "icon-button",
            href: "#ask",
            "aria-label": "New conversation",
            title: "New conversation",
          },
          icon("plus"),
        ),
      ),
      this.#problem,
      this.#list,
      this.#older,
    );
  }

  /** Marks the one that is shown. */
  set current(id) {
    this.#current = id;
    this.#open(false);
    this.#mark();
  }

  /** Reads the list again, as far as it is shown. */
  refresh() {
    return this.#inTurn(async () => {
      const shown = this.#list.childElementCount;
      const wanted = SHOWN_AT_ONCE * Math.max(1, Math.ceil(shown / SHOWN_AT_ONCE));
      let page = null;
      try {
        page = await listConversations({ count: wanted });
      } catch ({ retry_s }) {
        // The server is still loading its models, or busy.
        if (retry_s) setTimeout(() => this.refresh(), retry_s * 1000);
      }
      this.#node.hidden = this.#menu.hidden = !page;
      this.#list.replaceChildren(...this.#rowsOf(page?.conversations ?? []));
      this.#goOnFrom(page?.nextPageToken ?? "");
    });
  }

  /** Adds those that were last used before the ones that are shown. */
  #showOlder() {
    return this.#inTurn(async () => {
      let page;
      try {
        page = await listConversations({ count: SHOWN_AT_ONCE, pageToken: this.#nextPageToken });
      } catch (failure) {
        this.#problem.replaceChildren(notice(failure, () => this.#showOlder()));
        return;
      }
      this.#problem.replaceChildren();
      // What was used meanwhile comes twice.
      const rows = this.#rowsOf(page.conversations.filter(({ id }) => !this.#linkOf(id)));
      this.#list.append(...rows);
      this.#goOnFrom(page.nextPageToken);
      announce(`${count(rows.length, "older conversation")}.`);
      (rows[0] ?? this.#list.lastElementChild)?.querySelector("a").focus();
    });
  }

  /** One reading of the list after another. */
  #inTurn(read) {
    this.#reading = this.#reading.then(read);
    return this.#reading;
  }

  #goOnFrom(pageToken) {
    this.#nextPageToken = pageToken;
    this.#older.hidden = !pageToken;
    this.#mark();
  }

  #mark() {
    for (const link of this.#list.querySelectorAll("a")) {
      if (link.dataset.id === this.#current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** Changes one on the server, and tells if that failed; whether it went well. */
  async #change(changed) {
    try {
      await changed;
      this.#problem.replaceChildren();
      return true;
    } catch (failure) {
      this.#problem.replaceChildren(notice(failure));
      return false;
    } finally {
      await this.refresh();
    }
  }

  #open(isOpen) {
    this.#menu.setAttribute("aria-expanded", String(isOpen));
    this.#menu.parentElement.classList.toggle("open", isOpen);
  }

  #rowsOf(conversations) {
    return conversations.map((one) => this.#row(one));
  }

  #row({ id, name, updatedAt }) {
    const link = el(
      "a",
      { href: `#ask/${id}`, "data-id": id, title: `${name}, ${moment(updatedAt)}` },
      name,
    );
    const row = el(
      "li",
      {},
      link,
      iconButton("rename", `Rename ${name}`, () => this.#rename(row, id, name)),
      iconButton("delete", `Delete ${name}`, () => this.#askToDelete(row, id, name)),
    );
    return row;
  }

  #rename(row, id, name) {
    const input = el("input", { type: "text", "aria-label": "New name", maxlength: "200" });
    input.value = name;
    let isOver = false;
    const finish = async (isKept) => {
      if (isOver) return;
      isOver = true;
      const hadFocus = input === document.activeElement;
      const wanted = input.value.trim();
      input.replaceWith(el("span", { class: "name" }, isKept && wanted ? wanted : name));
      if (isKept && wanted && wanted !== name) await this.#change(renameConversation(id, wanted));
      else await this.refresh();
      if (hadFocus) this.#linkOf(id)?.focus();
    };
    input.addEventListener("keydown", ({ key }) => {
      if (key === "Enter") finish(true);
      if (key === "Escape") finish(false);
    });
    input.addEventListener("blur", () => finish(true));
    row.replaceChildren(input);
    input.select();
    input.focus();
  }

  #askToDelete(row, id, name) {
    const sure = el(
      "button",
      {
        type: "button",
        class: "danger",
        onclick: async () => {
          if (!(await this.#change(deleteConversation(id)))) return;
          announce(`${name} was deleted.`);
          if (id === this.#current) location.hash = "#ask";
          else this.#node.querySelector("a").focus();
        },
      },
      "Delete",
    );
    row.replaceChildren(
      el("span", { class: "name" }, name),
      sure,
      el(
        "button",
        {
          type: "button",
          class: "quiet",
          onclick: () => this.refresh().then(() => this.#linkOf(id)?.focus()),
        },
        "Keep",
      ),
    );
    sure.focus();
  }

  #linkOf(id) {
    return this.#list.querySelector(`[data-id="${id}"]`);
  }
}
