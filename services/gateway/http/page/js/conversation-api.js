// Conversations that last, in the page's own terms.

import { getJson, request, sendJson } from "./api.js";
import { pieceOfHttp, weightsOfHttp } from "./pieces.js";
import { workOfHttp } from "./work.js";

const PATH = "/v1/conversations";
/** Of one request. */
const PAGE_MAX = 1000;
const TURNS_SHOWN_MAX = 100;

/**
 * `count` conversations or more, those last used first, without those in which nothing was asked: from the
 * first on, or those after `pageToken`. Also the token of those after them, empty at the end.
 */
export async function listConversations({ count, pageToken = "" }) {
  const found = [];
  do {
    const limit = Math.min(PAGE_MAX, count - found.length);
    const query = new URLSearchParams({ limit, page_token: pageToken });
    const page = await getJson(`${PATH}?${query}`);
    found.push(...page.data.filter(({ turn_count: turns }) => turns > 0));
    pageToken = page.next_page_token;
  } while (pageToken && found.length < count);
  return {
    conversations: found.map(({ id, name, updated_at: updated_s }) => ({
      id,
      name,
      updatedAt: updated_s * 1000,
    })),
    nextPageToken: pageToken,
  };
}

/** Makes one; its id. */
export async function createConversation() {
  return (await sendJson("POST", PATH, {})).id;
}

/** Its last turns, oldest first. */
export async function readConversation(id) {
  const turns = [];
  let pageToken = "";
  // A page holds less where its turns are long.
  do {
    const query = new URLSearchParams({
      order: "desc",
      limit: TURNS_SHOWN_MAX - turns.length,
      with_evidence: true,
      page_token: pageToken,
    });
    const page = await getJson(`${at(id)}?${query}`);
    turns.push(...page.turns);
    pageToken = page.next_page_token;
  } while (pageToken && turns.length < TURNS_SHOWN_MAX);
  return turns.reverse().map((turn) => ({
    question: turn.question,
    answer: turn.answer,
    assetIds: turn.asset_ids,
    citations: turn.citations.map(({ evidence, basis }) => ({
      piece: pieceOfHttp(evidence),
      basis,
    })),
    weights: weightsOfHttp(turn),
    work: workOfHttp(turn),
  }));
}

export async function renameConversation(id, name) {
  await sendJson("PATCH", at(id), { name });
}

export async function deleteConversation(id) {
  await request(at(id), { method: "DELETE" });
}

function at(id) {
  return `${PATH}/${encodeURIComponent(id)}`;
}
