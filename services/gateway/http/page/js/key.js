// The key of this tab: kept in sessionStorage, and never in a URL.

import { el } from "./dom.js";

const NAME = "sensorium.key";

/** The key, or "". */
export function currentKey() {
  return sessionStorage.getItem(NAME) ?? "";
}

let asking = null;

/** Asks for a key; true once one was given, false if the question was dismissed. Asks once at a time. */
export function askForKey(why = "") {
  asking ??= ask(why).finally(() => (asking = null));
  return asking;
}

function ask(why) {
  const input = el("input", {
    id: "key-input",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "key-why",
  });
  input.value = currentKey();
  const dialog = el(
    "dialog",
    { class: "dialog", "aria-labelledby": "key-title" },
    el(
      "form",
      { method: "dialog" },
      el("h2", { id: "key-title" }, "Key"),
      el(
        "p",
        { id: "key-why" },
        why || "A server that is shared asks for a key. This one is kept until the tab is closed.",
      ),
      el("label", { for: "key-input" }, "Your key"),
      input,
      el(
        "div",
        { class: "row end" },
        el(
          "button",
          { type: "submit", value: "dismiss", class: "quiet", formnovalidate: true },
          "Cancel",
        ),
        el("button", { type: "submit", value: "use", class: "primary" }, "Use it"),
      ),
    ),
  );
  document.body.append(dialog);
  // Enter in the field submits by the first button: that must not be "Cancel".
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    dialog.close("use");
  });
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const used = dialog.returnValue === "use";
      if (used) sessionStorage.setItem(NAME, input.value.trim());
      dialog.remove();
      resolve(used);
    });
  });
}
