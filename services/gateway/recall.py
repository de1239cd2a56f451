"""Evidence that is not of this turn: stored assets that were named, and what search recalls."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence

from sensorium.fuse.v1 import fuse_pb2
from sensorium.media.v1 import media_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import (
    canonical_id,
    find_assets_by_id,
    list_documents,
)
from services.gateway.indexing import Indexer
from services.gateway.moderation import Moderation
from services.gateway.stages import Stages
from services.runtime.calls import CallScope, exchange
from services.runtime.errors import NotFound, SensoriumError
from services.runtime.status import from_stream_error

RECALLED_HITS = 8
SEARCHED_HITS = 64
"""So many are asked for, because those of assets at hand are left out."""


def as_evidence(document: search_pb2.Document) -> fuse_pb2.RecalledEvidence:
    """A document of the index as evidence."""
    return fuse_pb2.RecalledEvidence(evidence=document.evidence, embedding=document.embedding)


async def stored_evidence(
    stages: Stages,
    indexer: Indexer,
    scope: CallScope,
    assets: Iterable[media_pb2.Asset],
    moderation: Moderation,
) -> list[fuse_pb2.RecalledEvidence]:
    """The evidence of stored assets, from the index; perceived again if the index has none. One
    that was deleted since it was looked up has none. Raises InvalidInput CONTENT_BLOCKED for one
    that the policy blocks."""
    evidence = []
    for asset in assets:
        with contextlib.suppress(NotFound):
            current = await indexer.judged(asset, scope)
            await moderation.stored(current)
            if not current.indexed:
                await indexer.index_stored(current, scope, moderation)
            documents = await list_documents(stages, scope, canonical_id(asset))
            evidence += [as_evidence(document) for document in documents]
    return evidence


async def standing(
    stages: Stages, scope: CallScope, evidence: Sequence[fuse_pb2.RecalledEvidence]
) -> list[fuse_pb2.RecalledEvidence]:
    """What of evidence is of assets that have not been deleted by now."""
    asset_ids = sorted({each.evidence.asset_id for each in evidence})
    assets = await find_assets_by_id(stages, scope, asset_ids)
    return [each for each in evidence if each.evidence.asset_id in assets]


async def search_one(
    stages: Stages, scope: CallScope, query: search_pb2.SearchQuery, *, with_vectors: bool = True
) -> list[search_pb2.SearchHit]:
    """The hits of one query, their documents with vectors or without. Raises SensoriumError."""
    config = search_pb2.SearchConfig(omit_embeddings=not with_vectors)

    async def requests() -> AsyncIterator[search_pb2.StreamingSearchRequest]:
        yield search_pb2.StreamingSearchRequest(config=config)
        yield search_pb2.StreamingSearchRequest(query=query)

    hits: list[search_pb2.SearchHit] = []
    failure: SensoriumError | None = None
    async for event in exchange(stages.search.StreamingSearch, scope, requests()):
        kind = event.WhichOneof("event")
        if kind == "result":
            hits = list(event.result.hits)
        elif kind == "item_error":
            failure = from_stream_error(event.item_error.error)
    if failure:
        raise failure
    return hits


async def recalled_evidence(
    stages: Stages,
    scope: CallScope,
    question: str,
    embedding: media_pb2.Embedding,
    known_asset_ids: frozenset[str],
    moderation: Moderation,
) -> list[fuse_pb2.RecalledEvidence]:
    """What search finds for a question among the tenant's other assets, but what the policy
    hides: such an asset is in the index where an earlier policy let it in."""
    query = search_pb2.SearchQuery(
        query_id="recall", embedding=embedding, text=question, top_k=SEARCHED_HITS
    )
    hits = await search_one(stages, scope, query)
    recalled = [
        as_evidence(hit.document)
        for hit in hits
        if hit.document.evidence.asset_id not in known_asset_ids and hit.document.evidence.text
    ]
    if recalled and moderation.blocks_media:
        asset_ids = {each.evidence.asset_id for each in recalled}
        assets = await find_assets_by_id(stages, scope, sorted(asset_ids))
        hidden = {asset_id for asset_id in assets if moderation.hides(assets[asset_id])}
        recalled = [each for each in recalled if each.evidence.asset_id not in hidden]
    return recalled[:RECALLED_HITS]
