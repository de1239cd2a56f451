"""Assets that were indexed before a rule was made are judged by it, and what is found is kept."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import list_documents
from services.gateway.ledger import PICTURES, AssetEntry
from services.gateway.moderation import Moderation, pieces
from services.gateway.perception import encode_config, encode_segments, segment_stored
from services.gateway.stages import Stages
from services.runtime.calls import CallScope, call_unary
from services.runtime.moderation import PICTURE_CATEGORIES, TEXT_CATEGORIES
from services.runtime.status import from_item_error

_SHOWN = (media_pb2.MODALITY_IMAGE, media_pb2.MODALITY_VIDEO)
_SAID = (
    evidence_pb2.EVIDENCE_ORIGIN_SPEECH,
    evidence_pb2.EVIDENCE_ORIGIN_OCR,
    evidence_pb2.EVIDENCE_ORIGIN_PASSAGE,
)


async def judge_stored(
    stages: Stages, scope: CallScope, asset: media_pb2.Asset, moderation: Moderation
) -> None:
    """Judge an indexed asset, no duplicate, in the categories in which it was not: its words as
    the index has them, its pictures anew from its bytes. All of it, also where a rule blocks it.

    Raises SensoriumError, also where a part cannot be judged: then nothing is kept.
    """
    entry = AssetEntry(asset.info, asset)
    categories = moderation.due(asset)
    if categories:
        config = encode_config((), bulk=True, moderated=categories)
        parts = _parts(stages, scope, entry, categories)
        async for event in encode_segments(stages, scope, config, parts):
            match event.WhichOneof("event"):
                case "item_error":
                    raise from_item_error(event.item_error)
                case "moderation":
                    entry.note_moderation(event.moderation)
    scores = {each.score.category: each for each in asset.moderation_scores}
    scores |= {each.score.category: each for each in entry.scores_in(categories)}
    request = ingest_pb2.RecordModerationRequest(
        asset_id=asset.asset_id,
        findings=moderation.findings(scores.values()),
        scores=[scores[category] for category in categories],
    )
    await call_unary(stages.ingest.RecordModeration, request, scope)


async def _parts(
    stages: Stages, scope: CallScope, entry: AssetEntry, categories: Sequence[str]
) -> AsyncIterator[media_pb2.MediaSegment]:
    """What is judged of an asset, noted in its entry as segments."""
    asset_id = entry.info.asset_id
    if not set(categories).isdisjoint(TEXT_CATEGORIES):
        texts = _texts(await list_documents(stages, scope, asset_id))
        for index, (text, locator) in enumerate(texts):
            passage = media_pb2.MediaSegment(
                segment_id=f"{asset_id}/text/{index}",
                asset_id=asset_id,
                kind=media_pb2.SEGMENT_KIND_TEXT_PASSAGE,
                locator=locator,
                text=text,
            )
            entry.segments[passage.segment_id] = passage
            yield passage
    if entry.info.modality in _SHOWN and not set(categories).isdisjoint(PICTURE_CATEGORIES):
        async for event in segment_stored(stages, scope, asset_id):
            if event.WhichOneof("event") == "segment" and event.segment.kind in PICTURES:
                segment = event.segment
                entry.segments[segment.segment_id] = media_pb2.MediaSegment(locator=segment.locator)
                yield segment


def _texts(
    documents: Iterable[search_pb2.Document],
) -> Iterator[tuple[str, media_pb2.Locator]]:
    """The words of an asset and their places: each utterance and passage by itself, the writing
    in a picture together, as where media is judged when it comes."""
    said: dict[str, list[evidence_pb2.Evidence]] = {}
    for document in documents:
        found = document.evidence
        if found.origin in _SAID:
            is_writing = found.origin == evidence_pb2.EVIDENCE_ORIGIN_OCR
            key = found.segment_id if is_writing else found.evidence_id
            said.setdefault(key, []).append(found)
    for together in said.values():
        for text in pieces("\n".join(each.text for each in together)):
            yield text, together[0].locator
