// The page: which view is shown.

import { AskView } from "./ask.js";
import { askForKey } from "./key.js";

const main = document.getElementById("main");
const views = {
  ask: () => new AskView(),
};
let shown = null;

function show() {
  const [name] = location.hash.slice(1).split("/");
  const make = views[name] ?? views.ask;
  shown?.close();
  shown = make();
  main.replaceChildren(shown.node);
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === (name || "ask")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  shown.focus();
}

document.getElementById("key").addEventListener("click", () => askForKey());
window.addEventListener("hashchange", show);
show();
