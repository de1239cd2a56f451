"""What a search tells of the assets that it found: records, previews, small pictures."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.catalogue import find_assets_by_id, list_documents
from services.gateway.stages import Stages
from services.runtime.calls import CallScope, call_unary
from services.runtime.errors import SensoriumError

SearchMatch = gateway_pb2.SearchMatch

log = logging.getLogger(__name__)

PREVIEW_CHARACTERS = 1000
THUMBNAILS_A_RESULT = 5
# A message is at most 4 MiB.
RESULT_BYTES_MAX = 3 << 20
_THUMBNAILS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Page:
    """How much of what was found is told."""

    top_k: int
    offset: int
    match_count_max: int


def place_of(locator: media_pb2.Locator) -> bytes:
    """A place as a key."""
    return locator.SerializeToString(deterministic=True)


async def results_of(
    stages: Stages, scope: CallScope, found: Mapping[str, Sequence[SearchMatch]], page: Page
) -> list[gateway_pb2.SearchResult]:
    """The assets of a page with their records. One that was deleted meanwhile is left out."""
    asset_ids = list(found)[page.offset :][: page.top_k]
    if not asset_ids:
        return []
    assets = await find_assets_by_id(stages, scope, asset_ids)
    return [
        gateway_pb2.SearchResult(
            asset=assets[asset_id],
            matches=found[asset_id][: page.match_count_max],
            relevance=max(match.relevance for match in found[asset_id]),
            score=found[asset_id][0].score,
        )
        for asset_id in asset_ids
        if asset_id in assets
    ]


def fitting(results: Iterable[gateway_pb2.SearchResult]) -> Iterator[gateway_pb2.SearchResult]:
    """The results that fit a message."""
    size_bytes = 0
    for result in results:
        size_bytes += result.ByteSize()
        if size_bytes > RESULT_BYTES_MAX:
            return
        yield result


async def preview(
    stages: Stages, scope: CallScope, results: Sequence[gateway_pb2.SearchResult]
) -> None:
    """Say in words what a place shows that was found by its vector alone."""
    silent = {
        (result.asset.asset_id, place_of(match.locator)): match
        for result in results
        for match in result.matches
        if not match.preview_text
    }
    if not silent:
        return
    asset_ids = dict.fromkeys(asset_id for asset_id, _ in silent)
    for document in await list_documents(stages, scope, *asset_ids):
        evidence = document.evidence
        match = silent.get((evidence.asset_id, place_of(evidence.locator)))
        if match is not None and evidence.text:
            words = f"{match.preview_text}, {evidence.text}".removeprefix(", ")
            match.preview_text = words[:PREVIEW_CHARACTERS]


async def add_thumbnails(
    stages: Stages, scope: CallScope, results: Sequence[gateway_pb2.SearchResult]
) -> None:
    """Add small pictures of the first matches in pictures and videos."""
    free = asyncio.Semaphore(_THUMBNAILS_AT_ONCE)

    async def add(asset: media_pb2.Asset, match: SearchMatch) -> None:
        request = ingest_pb2.GetThumbnailRequest(asset_id=asset.asset_id)
        if asset.info.modality == media_pb2.MODALITY_VIDEO:
            request.offset.CopyFrom(match.locator.span.start)
        async with free:
            try:
                made = await call_unary(stages.ingest.GetThumbnail, request, scope)
            except SensoriumError as error:
                # A result without its picture is better than none.
                log.warning("no thumbnail of %s: %s", asset.asset_id, error.reason)
            else:
                match.thumbnail_jpeg = made.jpeg

    await asyncio.gather(
        *(
            add(result.asset, match)
            for result in results
            if result.asset.info.has_video or result.asset.info.modality == media_pb2.MODALITY_IMAGE
            for match in result.matches[:THUMBNAILS_A_RESULT]
        )
    )
