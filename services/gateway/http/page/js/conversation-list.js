// The conversations of the side bar: opened, renamed, deleted.

import { announce } from "./announcer.js";
import { deleteConversation, listConversations, renameConversation } from "./conversation-api.js";
import { el, icon, iconButton } from "./dom.js";
import { moment } from "./format.js";

export class ConversationList {
  #node;
  #menu;
  #list = el("ul");
  #current = "";

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
      this.#list,
    );
  }

  /** Marks the one that is shown. */
  set current(id) {
    this.#current = id;
    this.#open(false);
    for (const link of this.#list.querySelectorAll("a")) {
      link.toggleAttribute("aria-current", link.dataset.id === id);
    }
  }

  /** Reads the list again. */
  async refresh() {
    const conversations = await listConversations().catch(() => null);
    this.#node.hidden = this.#menu.hidden = !conversations;
    this.#list.replaceChildren(...(conversations ?? []).map((one) => this.#row(one)));
    this.current = this.#current;
  }

  #open(isOpen) {
    this.#menu.setAttribute("aria-expanded", String(isOpen));
    this.#menu.parentElement.classList.toggle("open", isOpen);
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
    const finish = async (isKept) => {
      input.replaceWith(el("span"));
      const wanted = input.value.trim();
      if (isKept && wanted && wanted !== name)
        await renameConversation(id, wanted).catch(({ message }) => announce(message));
      await this.refresh();
      this.#list.querySelector(`[data-id="${id}"]`)?.focus();
    };
    input.addEventListener("keydown", ({ key }) => {
      if (key === "Enter") finish(true);
      if (key === "Escape") finish(false);
    });
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
          await deleteConversation(id).catch(({ message }) => announce(message));
          announce(`${name} was deleted.`);
          await this.refresh();
          if (id === this.#current) location.hash = "#ask";
        },
      },
      "Delete",
    );
    row.replaceChildren(
      el("span", { class: "name" }, name),
      sure,
      el("button", { type: "button", class: "quiet", onclick: () => this.refresh() }, "Keep"),
    );
    sure.focus();
  }
}
