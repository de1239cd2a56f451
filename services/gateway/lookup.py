"""Search and transcription: what is asked of stored or passing media without an answer in words."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2, upload_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import canonical_id, get_asset, list_documents
from services.gateway.hearing import TranscriptOrder
from services.gateway.ledger import Ledger
from services.gateway.perception import (
    ANSWER_TASKS,
    embed_text,
    encode_config,
    encode_segments,
    segment_stored,
)
from services.gateway.recall import search_one
from services.gateway.stages import Stages
from services.gateway.vectors import mean_embedding
from services.runtime.calls import CallScope, exchange
from services.runtime.errors import InvalidInput, LimitExceeded
from services.runtime.status import from_item_error

QUERY_MEDIA_BYTES_MAX = 3 << 20
CHUNK_BYTES = 64 << 10
TOP_K_DEFAULT = 10
TOP_K_MAX = 100
DOCUMENTS_PER_PLACE = 4
SEARCHED_DOCUMENTS_MAX = 1000


async def find(
    stages: Stages, scope: CallScope, request: gateway_pb2.SearchRequest
) -> gateway_pb2.SearchResponse:
    """Answer one query by text, by media or by example."""
    top_k = request.top_k or TOP_K_DEFAULT
    if top_k > TOP_K_MAX:
        raise InvalidInput("TOP_K_TOO_LARGE", f"top_k is at most {TOP_K_MAX}.", subject="top_k")
    query = search_pb2.SearchQuery(
        query_id="query",
        modalities=request.modalities,
        asset_ids=request.asset_ids,
        user_id=request.user_id,
        # Several documents of one place make one hit.
        top_k=DOCUMENTS_PER_PLACE * top_k,
    )
    kind = request.WhichOneof("query")
    example = ""
    if kind == "text" and request.text.strip():
        query.text = request.text
        query.embedding.CopyFrom(await embed_text(stages, scope, request.text))
    elif kind == "media" and request.media:
        query.embedding.CopyFrom(await _embed_media(stages, scope, request.media))
    elif kind == "asset_id" and request.asset_id:
        example = canonical_id(await get_asset(stages, scope, request.asset_id))
        documents = await list_documents(stages, scope, example)
        query.embedding.CopyFrom(mean_embedding([each.embedding for each in documents]))
        # The example finds itself first; it is left out below.
        query.top_k += len(documents)
    else:
        raise InvalidInput("QUERY_MISSING", "Set one of text, media and asset_id.", subject="query")
    query.top_k = min(query.top_k, SEARCHED_DOCUMENTS_MAX)
    found = await search_one(stages, scope, query)
    hits = _places(hit for hit in found if hit.document.evidence.asset_id != example)[:top_k]
    await _preview(stages, scope, hits)
    return gateway_pb2.SearchResponse(hits=hits)


def _places(found: Iterable[search_pb2.SearchHit]) -> list[gateway_pb2.SearchHit]:
    """One hit for each place: what a picture shows, by vector and by words, is one thing."""
    places: dict[tuple[str, bytes], gateway_pb2.SearchHit] = {}
    for hit in found:
        evidence = hit.document.evidence
        place = (evidence.asset_id, evidence.locator.SerializeToString(deterministic=True))
        known = places.setdefault(place, _hit(hit))
        if not known.preview_text and evidence.text:
            known.preview_text, known.origin = evidence.text, evidence.origin
    return list(places.values())


async def _preview(stages: Stages, scope: CallScope, hits: Sequence[gateway_pb2.SearchHit]) -> None:
    """Say in words what a place shows that was found by its vector alone."""
    silent = {hit.asset_id for hit in hits if not hit.preview_text}
    for asset_id in silent:
        words = [
            document.evidence
            for document in await list_documents(stages, scope, asset_id)
            if document.evidence.text
        ]
        for hit in hits:
            if hit.asset_id == asset_id and not hit.preview_text:
                hit.preview_text = ", ".join(
                    evidence.text for evidence in words if evidence.locator == hit.locator
                )


def _hit(hit: search_pb2.SearchHit) -> gateway_pb2.SearchHit:
    document, evidence = hit.document, hit.document.evidence
    return gateway_pb2.SearchHit(
        asset_id=evidence.asset_id,
        asset_name=evidence.asset_name,
        asset_sha256=document.asset_sha256,
        modality=evidence.modality,
        locator=evidence.locator,
        preview_text=evidence.text,
        origin=evidence.origin,
        similarity=hit.similarity,
        score=hit.score,
        create_time=document.create_time,
    )


async def _embed_media(stages: Stages, scope: CallScope, media: bytes) -> media_pb2.Embedding:
    """The vector of a file that is looked at and not kept, through the same ingest and encode."""
    if len(media) > QUERY_MEDIA_BYTES_MAX:
        raise LimitExceeded(
            "QUERY_MEDIA_TOO_LARGE",
            f"media is at most {QUERY_MEDIA_BYTES_MAX >> 20} MiB; "
            "upload the file and set asset_id instead.",
            subject="media",
        )

    async def upload() -> AsyncIterator[ingest_pb2.StreamingIngestRequest]:
        request = ingest_pb2.StreamingIngestRequest
        yield request(config=ingest_pb2.IngestConfig(ephemeral=True))
        # An error of the file names it: so it is called as its field in the request.
        yield request(asset_start=upload_pb2.AssetStart(asset_id="media"))
        for offset in range(0, len(media), CHUNK_BYTES):
            data = media[offset : offset + CHUNK_BYTES]
            yield request(chunk=upload_pb2.MediaChunk(asset_id="media", offset=offset, data=data))
        yield request(asset_finish=upload_pb2.AssetFinish(asset_id="media", size_bytes=len(media)))

    async def segments() -> AsyncIterator[media_pb2.MediaSegment]:
        async for event in exchange(stages.ingest.StreamingIngest, scope, upload()):
            if event.WhichOneof("event") == "item_error":
                raise from_item_error(event.item_error)
            if event.WhichOneof("event") == "segment":
                yield event.segment

    vectors: list[media_pb2.Embedding] = []
    async for event in encode_segments(stages, scope, encode_config(ANSWER_TASKS), segments()):
        kind = event.WhichOneof("event")
        if kind == "embedding":
            vectors.append(event.embedding.embedding)
        elif kind == "observation" and event.observation.WhichOneof("observed") == "transcript":
            vectors.append(event.observation.embedding)
    if not vectors:
        raise InvalidInput(
            "QUERY_MEDIA_EMPTY",
            "Nothing to search for was recognised in media, such as a picture or speech.",
            subject="media",
        )
    return mean_embedding(vectors)


async def transcribe(
    stages: Stages, scope: CallScope, request: gateway_pb2.TranscribeRequest
) -> AsyncGenerator[gateway_pb2.TranscribeResponse, None]:
    """The speech of a stored asset in order of time."""
    ledger = Ledger(reading=True)
    asset = await get_asset(stages, scope, request.asset_id)
    if not asset.info.has_audio:
        raise InvalidInput("NO_SOUND", "The asset has no sound.", subject="asset_id")

    async def windows() -> AsyncIterator[media_pb2.MediaSegment]:
        async for event in segment_stored(stages, scope, canonical_id(asset)):
            ledger.note_ingest(event)
            if (
                event.WhichOneof("event") == "segment"
                and event.segment.kind == media_pb2.SEGMENT_KIND_AUDIO_WINDOW
            ):
                yield event.segment

    config = encode_config(
        (encode_pb2.ENCODE_TASK_TRANSCRIBE,), request.language, word_times=request.word_times
    )
    order = TranscriptOrder()
    async for event in encode_segments(stages, scope, config, windows()):
        if event.WhichOneof("event") == "item_error":
            raise from_item_error(event.item_error)
        for observation in order.take(event):
            yield gateway_pb2.TranscribeResponse(
                span=observation.locator.span, transcript=observation.transcript
            )
