// A piece of evidence in the page's own terms, whether the socket told of it or the HTTP API:
// {assetId, assetName, kind, origin, text, key, weight, inContext, place}.

import { kindOf } from "./kinds.js";
import { placeOf, placeOfHttp } from "./places.js";

/** A WeightedEvidence of the contract. */
export function pieceOf({ evidence, citationKey: key, weight = 0, inContext = false }) {
  const { assetId, assetName, modality, origin = "", text = "", locator } = evidence;
  const word = origin.replace("EVIDENCE_ORIGIN_", "").toLowerCase();
  return {
    assetId,
    assetName,
    kind: kindOf(modality),
    origin: word,
    text,
    key,
    weight,
    inContext,
    place: placeOf(locator),
  };
}

/** An Evidence of the HTTP API. */
export function pieceOfHttp(evidence) {
  const {
    asset_id: assetId,
    asset_name: assetName,
    modality: kind,
    origin,
    text,
    key,
    weight,
    in_context: inContext,
  } = evidence;
  return {
    assetId,
    assetName,
    kind,
    origin,
    text,
    key,
    weight,
    inContext,
    place: placeOfHttp(evidence),
  };
}
