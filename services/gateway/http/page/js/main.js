// The page: which view is shown.

import { AskView } from "./ask.js";
import { ConversationList } from "./conversation-list.js";
import { askForKey } from "./key.js";
import { SearchView } from "./search.js";
import { UsageView } from "./usage.js";

const main = document.getElementById("main");
const conversations = new ConversationList(
  document.getElementById("conversations"),
  document.getElementById("menu"),
);
const views = {
  ask: (id) => new AskView(id, { onmade: remember, ontold: () => conversations.refresh() }),
  search: () => new SearchView(),
  usage: () => new UsageView(),
};
let shown = null;

function show() {
  const [name, id = ""] = location.hash.slice(1).split("/");
  const view = name in views ? name : "ask";
  shown?.close();
  shown = views[view](id);
  main.replaceChildren(shown.node);
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  conversations.current = id;
  shown.focus();
}

// The conversation that is shown has got its id: the address names it from now on.
function remember(id) {
  history.replaceState(null, "", `#ask/${id}`);
  conversations.current = id;
}

document.getElementById("key").addEventListener("click", async () => {
  if (await askForKey()) conversations.refresh();
});
window.addEventListener("hashchange", show);
conversations.refresh();
show();
