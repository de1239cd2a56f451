// A piece of evidence in the page's own terms, whether the socket told of it or the HTTP API:
// {assetId, assetName, kind, origin, text, key, weight, inContext, place}. What an answer is weighed from:
// {pieces, gates: [{kind, weight}]}.

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

/** An EvidenceWeights of the contract. */
export function weightsOf({ evidence = [], modalityWeights = [] }) {
  return {
    pieces: evidence.map(pieceOf),
    gates: modalityWeights.map(({ modality, weight = 0 }) => ({ kind: kindOf(modality), weight })),
  };
}

/** The weights of a turn of the HTTP API. */
export function weightsOfHttp({ evidence, modality_weights: gates }) {
  return {
    pieces: evidence.map(pieceOfHttp),
    gates: gates.map(({ modality: kind, weight }) => ({ kind, weight })),
  };
}
