// Ask and Search from a page. What is asked about was stored before, by any other client.

import { explain, footnote, places } from "../told.mjs";
import { connect } from "./gateway.mjs";

const form = document.querySelector("form");
const [answer, notes, problem] = ["answer", "notes", "problem"].map((id) =>
  document.getElementById(id),
);
let call = new AbortController();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  call.abort();
  const { signal } = (call = new AbortController());
  for (const place of [answer, notes, problem]) {
    place.replaceChildren();
  }
  const fields = Object.fromEntries(new FormData(form));
  const run = event.submitter.value === "search" ? search : ask;
  try {
    await run(connect(fields.proxy, fields.key), fields.words, signal);
  } catch (error) {
    // What was stopped by the reader is no problem.
    if (!signal.aborted) {
      problem.textContent = explain(error);
    }
  }
});
document.getElementById("stop").addEventListener("click", () => call.abort());

/** Tokens as they come, then what they rest on. Only the signal cancels the call, not a `break`. */
async function ask(client, question, signal) {
  for await (const { event } of client.ask({ question, answer: { recall: true } }, { signal })) {
    if (event.case === "token") {
      answer.append(event.value.text);
    } else if (event.case === "citation") {
      note(footnote(event.value));
    }
  }
}

async function search(client, text, signal) {
  const { results } = await client.search({ query: { case: "text", value: text }, topK: 5 }, { signal });
  for (const { asset, matches } of results) {
    const where = matches.map(({ locator }) => places(locator).join(", "));
    note(`${asset.info.name}: ${where.join("; ")}`);
  }
  if (!results.length) {
    answer.textContent = "Nothing was found.";
  }
}

/** Names of files and words of models are text, never HTML. */
function note(words) {
  const item = document.createElement("li");
  item.textContent = words;
  notes.append(item);
}
