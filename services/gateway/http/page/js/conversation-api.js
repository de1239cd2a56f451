// Conversations that last, in the page's own terms.

import { getJson, request, sendJson } from "./api.js";
import { pieceOfHttp } from "./pieces.js";

const PATH = "/v1/conversations";
const TURNS_SHOWN_MAX = 100;

/** Those last used first, without those in which nothing was asked. */
export async function listConversations() {
  const { data } = await getJson(PATH);
  return data
    .filter(({ turn_count: turns }) => turns > 0)
    .map(({ id, name, updated_at: updated_s }) => ({ id, name, updatedAt: updated_s * 1000 }));
}

/** Makes one; its id. */
export async function createConversation() {
  return (await sendJson("POST", PATH, {})).id;
}

/** Its last turns, oldest first. */
export async function readConversation(id) {
  const { turns } = await getJson(`${at(id)}?order=desc&limit=${TURNS_SHOWN_MAX}`);
  return turns.reverse().map((turn) => ({
    question: turn.question,
    answer: turn.answer,
    assetIds: turn.asset_ids,
    finishReason: turn.finish_reason,
    citations: turn.citations.map(({ evidence, basis }) => ({
      piece: pieceOfHttp(evidence),
      basis,
    })),
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
