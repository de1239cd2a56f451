"""Search: what is looked for, found by asset, with the places where it matched."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import canonical_ids
from services.gateway.moderation import Moderation, tell_nobody
from services.gateway.policy import Policy
from services.gateway.recall import search_one
from services.gateway.relevance import Found, Sought, relevance
from services.gateway.search_query import resolve, stage_query
from services.gateway.search_results import (
    PREVIEW_CHARACTERS,
    Page,
    SearchMatch,
    add_thumbnails,
    fitting,
    place_of,
    preview,
    results_of,
)
from services.gateway.stages import Stages
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput

TOP_K_DEFAULT = 10
TOP_K_MAX = 100
OFFSET_MAX = 900
MATCH_COUNT_DEFAULT = 5
MATCH_COUNT_MAX = 50
TOP_K_WITH_THUMBNAILS_MAX = 20

# Each round of a search reads so many documents and leaves out the assets of the
# rounds before. It is the same however many are asked for, or the pages of one
# search would not fit together.
_DOCUMENTS_A_ROUND = 128
_ROUNDS_MAX = 32
_OFFSET_OF_ROUND_MAX = 1000 - _DOCUMENTS_A_ROUND

FOUND = {
    evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED: Found.PICTURE,
    evidence_pb2.EVIDENCE_ORIGIN_SPEECH: Found.SPEECH,
    evidence_pb2.EVIDENCE_ORIGIN_OCR: Found.OCR,
    evidence_pb2.EVIDENCE_ORIGIN_LABEL: Found.LABEL,
    evidence_pb2.EVIDENCE_ORIGIN_CAPTION: Found.LABEL,
    evidence_pb2.EVIDENCE_ORIGIN_PASSAGE: Found.PASSAGE,
}


async def search(
    stages: Stages, scope: CallScope, request: gateway_pb2.SearchRequest, policy: Policy
) -> gateway_pb2.SearchResponse:
    """Answer one search, without the assets that the policy blocks by now. Raises SensoriumError,
    CONTENT_BLOCKED where it blocks the query."""
    page = _page(request)
    parts = await resolve(stages, scope, request, policy)
    measure = _Measure([(part.kind, part.weight) for part in parts], request.relevance_min)
    query = stage_query(request, parts)
    query.asset_ids.extend(await canonical_ids(stages, scope, request.asset_ids))
    moderation = Moderation(stages, scope, policy, tell_nobody)
    count = page.offset + page.top_k
    found = await _find_assets(stages, scope, query, measure, moderation, count)
    results = await results_of(stages, scope, found, page)
    await preview(stages, scope, results)
    if request.thumbnails:
        await add_thumbnails(stages, scope, results)
    return gateway_pb2.SearchResponse(results=fitting(results))


def _page(request: gateway_pb2.SearchRequest) -> Page:
    """How much is asked for. Raises InvalidInput."""
    page = Page(
        request.top_k or TOP_K_DEFAULT,
        request.offset,
        request.match_count_max or MATCH_COUNT_DEFAULT,
    )
    top_k_max = TOP_K_WITH_THUMBNAILS_MAX if request.thumbnails else TOP_K_MAX
    for name, value, limit in (
        ("top_k", page.top_k, top_k_max),
        ("offset", page.offset, OFFSET_MAX),
        ("match_count_max", page.match_count_max, MATCH_COUNT_MAX),
    ):
        if value > limit:
            reason = f"{name.upper()}_TOO_LARGE"
            raise InvalidInput(reason, f"{name} is at most {limit}.", subject=name)
    if not 0 <= request.relevance_min < 1:
        raise InvalidInput(
            "RELEVANCE_INVALID", "A relevance is at least 0 and below 1.", subject="relevance_min"
        )
    return page


@dataclass(frozen=True, slots=True)
class _Measure:
    """What a match must be worth: ``sought`` are the parts of the query, weighed."""

    sought: Sequence[tuple[Sought, float]]
    relevance_min: float

    def relevance(self, hit: search_pb2.SearchHit) -> float:
        """What a hit is worth, 0 to 1."""
        return relevance(hit.similarity, FOUND[hit.document.evidence.origin], self.sought)

    def matches(self, hits: Iterable[search_pb2.SearchHit]) -> dict[str, list[SearchMatch]]:
        """The places of each asset that are worth enough, best first: what a picture shows,
        by vector and by words, is one, worth as much as the better of them."""
        places: dict[tuple[str, bytes], SearchMatch] = {}
        for hit in hits:
            worth = self.relevance(hit)
            if worth < self.relevance_min:
                continue
            evidence = hit.document.evidence
            place = evidence.asset_id, place_of(evidence.locator)
            known = places.setdefault(place, _match(hit))
            known.relevance = max(known.relevance, worth)
            if not known.preview_text and evidence.text:
                known.preview_text = evidence.text[:PREVIEW_CHARACTERS]
                known.origin = evidence.origin
        by_asset: dict[str, list[SearchMatch]] = {}
        for (asset_id, _), match in places.items():
            by_asset.setdefault(asset_id, []).append(match)
        return by_asset


def _match(hit: search_pb2.SearchHit) -> SearchMatch:
    evidence = hit.document.evidence
    return SearchMatch(
        locator=evidence.locator,
        preview_text=evidence.text[:PREVIEW_CHARACTERS],
        origin=evidence.origin,
        similarity=hit.similarity,
        score=hit.score,
    )


async def _find_assets(
    stages: Stages,
    scope: CallScope,
    query: search_pb2.SearchQuery,
    measure: _Measure,
    moderation: Moderation,
    count: int,
) -> dict[str, list[SearchMatch]]:
    """The matches of at least the best ``count`` assets, if there are so many, in the order of
    the best match of each: one with many matching documents does not hide the others."""
    query.top_k = _DOCUMENTS_A_ROUND
    found: dict[str, list[SearchMatch]] = {}
    unworthy: Counter[str] = Counter()
    for _ in range(_ROUNDS_MAX):
        hits = await search_one(stages, scope, query, with_vectors=False)
        matches = measure.matches(hits)
        found |= await _listed(moderation, matches, count - len(found))
        if len(found) >= count:
            break
        query.excluded_asset_ids.extend(matches)
        # What is not worth enough comes first again, unless it is of an asset that was found.
        unworthy.update(hit.document.evidence.asset_id for hit in hits)
        for asset_id in matches:
            del unworthy[asset_id]
        query.offset = unworthy.total()
        if len(hits) < _DOCUMENTS_A_ROUND or query.offset > _OFFSET_OF_ROUND_MAX:
            # The list ends; others may begin behind these.
            if not unworthy:
                break
            query.excluded_asset_ids.extend(sorted(unworthy))
            unworthy.clear()
            query.offset = 0
    return found


async def _listed(
    moderation: Moderation, matches: dict[str, list[SearchMatch]], count: int
) -> dict[str, list[SearchMatch]]:
    """The matches of the assets that may be listed: of the first ``count`` at least, if there are
    so many."""
    if not moderation.blocks_media:
        return matches
    admitted = await moderation.first_admitted(list(matches), count)
    return {asset_id: matches[asset_id] for asset_id in admitted}
