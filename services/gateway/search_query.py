"""What is looked for, as the index can: words and their vectors, vectors of media and assets."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import canonical_id, get_asset, list_documents
from services.gateway.ephemeral import MEDIA_BYTES_MAX, ephemeral_segments
from services.gateway.ledger import Ledger
from services.gateway.moderation import Moderation, tell_nobody
from services.gateway.perception import ANSWER_TASKS, embed_text, encode_config, encode_segments
from services.gateway.policy import Policy
from services.gateway.relevance import Sought, similarity_at
from services.gateway.stages import Stages
from services.gateway.vectors import mean_embedding
from services.runtime.calls import CallScope
from services.runtime.durations import to_seconds
from services.runtime.errors import InvalidInput, LimitExceeded
from services.runtime.streams import first_error

PART_COUNT_MAX = 8
TEXT_CHARACTERS_MAX = 8000

# Our own words for what the vector of their picture tells better: many pictures have the same
# label, and all of them would be equally near.
_LABEL = evidence_pb2.EVIDENCE_ORIGIN_LABEL
_PICTURES = (media_pb2.MODALITY_IMAGE, media_pb2.MODALITY_VIDEO)


@dataclass(frozen=True, slots=True)
class SoughtPart:
    """One part of a search."""

    kind: Sought
    weight: float
    embedding: media_pb2.Embedding
    text: str = ""
    """Words that are looked for by full text too."""
    example: str = ""
    """The asset that it is about, which is not to be found itself."""


async def resolve(
    stages: Stages, scope: CallScope, request: gateway_pb2.SearchRequest, policy: Policy
) -> list[SoughtPart]:
    """The parts of a search that count, each judged and with its vector. Raises InvalidInput,
    NotFound, LimitExceeded."""
    parts = _parts(request)
    if not parts:
        raise InvalidInput(
            "QUERY_MISSING", "Set one of text, media and asset_id, or parts.", subject="query"
        )
    try:
        async with asyncio.TaskGroup() as group:
            resolving = [
                # Each by itself: all media of a search goes by one name.
                _resolve(stages, scope, part, field, Moderation(stages, scope, policy, tell_nobody))
                for part, field in parts
            ]
            tasks = [group.create_task(each) for each in resolving]
    except BaseExceptionGroup as errors:
        raise first_error(errors) from None
    return [task.result() for task in tasks]


def stage_query(
    request: gateway_pb2.SearchRequest, parts: Sequence[SoughtPart]
) -> search_pb2.SearchQuery:
    """The search as the index takes it, without its extent and the assets it is about."""
    query = search_pb2.SearchQuery(
        query_id="query",
        modalities=request.modalities,
        user_id=request.user_id,
        tags=request.tags,
        metadata=request.metadata,
        excluded_asset_ids=[part.example for part in parts if part.example],
        excluded_origins=[_LABEL],
    )
    for name in ("create_time_min", "create_time_max"):
        if request.HasField(name):
            getattr(query, name).CopyFrom(getattr(request, name))
    if request.HasField("age_max"):
        _limit_age(query, request.age_max)
    for part in parts:
        query.parts.add(embedding=part.embedding, weight=part.weight)
        if part.text:
            query.parts.add(text=part.text, weight=part.weight)
    if request.relevance_min:
        query.similarity_min = similarity_at(request.relevance_min, (part.kind for part in parts))
    return query


def _limit_age(query: search_pb2.SearchQuery, age: Duration) -> None:
    """Narrow the time from which on is searched. Raises InvalidInput AGE_INVALID."""
    age_s = to_seconds(age)
    if age_s < 0:
        raise InvalidInput("AGE_INVALID", "An age is not negative.", subject="age_max")
    oldest = Timestamp()
    oldest.FromMicroseconds(max(0, round((time.time() - age_s) * 1e6)))
    known = query.create_time_min
    if age_s and (known.seconds, known.nanos) < (oldest.seconds, oldest.nanos):
        known.CopyFrom(oldest)


def _parts(request: gateway_pb2.SearchRequest) -> list[tuple[gateway_pb2.QueryPart, str]]:
    """The query and the parts of a weight above 0, each with the name of its field."""
    parts = []
    if kind := request.WhichOneof("query"):
        part = gateway_pb2.QueryPart(weight=1.0, **{kind: getattr(request, kind)})
        parts.append((part, ""))
    if len(request.parts) > PART_COUNT_MAX:
        raise InvalidInput(
            "TOO_MANY_PARTS", f"A search has at most {PART_COUNT_MAX} parts.", subject="parts"
        )
    for index, part in enumerate(request.parts):
        if not (math.isfinite(part.weight) and part.weight >= 0):
            raise InvalidInput(
                "WEIGHT_INVALID",
                "A weight is finite and not negative.",
                subject=f"parts[{index}].weight",
            )
        if part.weight:
            parts.append((part, f"parts[{index}]."))
    for part, field in parts:
        if len(part.text) > TEXT_CHARACTERS_MAX:
            raise InvalidInput(
                "TEXT_TOO_LONG",
                f"A query has at most {TEXT_CHARACTERS_MAX} characters.",
                subject=f"{field}text",
            )
    if sum(len(part.media) for part, _ in parts) > MEDIA_BYTES_MAX:
        raise LimitExceeded(
            "QUERY_MEDIA_TOO_LARGE",
            f"media is at most {MEDIA_BYTES_MAX >> 20} MiB; "
            "upload the file and set asset_id instead.",
            subject="media",
        )
    return parts


async def _resolve(
    stages: Stages,
    scope: CallScope,
    part: gateway_pb2.QueryPart,
    field: str,
    moderation: Moderation,
) -> SoughtPart:
    match part.WhichOneof("part"):
        case "text" if part.text.strip():
            await moderation.query(part.text, f"{field}text")
            embedding = await embed_text(stages, scope, part.text)
            return SoughtPart(Sought.WORDS, part.weight, embedding, text=part.text)
        case "media" if part.media:
            kind, embedding = await _embed_media(stages, scope, part.media, moderation)
            return SoughtPart(kind, part.weight, embedding)
        case "asset_id" if part.asset_id:
            asset = await get_asset(stages, scope, part.asset_id)
            moderation.admit_example(asset)
            documents = await list_documents(stages, scope, canonical_id(asset))
            embedding = mean_embedding(
                [each.embedding for each in documents if each.evidence.origin != _LABEL]
            )
            kind = _kind(asset.info.modality)
            return SoughtPart(kind, part.weight, embedding, example=canonical_id(asset))
        case _:
            raise InvalidInput(
                "QUERY_MISSING",
                "Set one of text, media and asset_id.",
                subject=field.rstrip(".") or "query",
            )


def _kind(modality: media_pb2.Modality.ValueType) -> Sought:
    return Sought.PICTURE if modality in _PICTURES else Sought.WORDS


async def _embed_media(
    stages: Stages, scope: CallScope, media: bytes, moderation: Moderation
) -> tuple[Sought, media_pb2.Embedding]:
    """What a file is and its vector, through the same ingest and encode as stored ones."""
    kind = Sought.WORDS
    ledger = Ledger()

    async def segments() -> AsyncIterator[media_pb2.MediaSegment]:
        nonlocal kind
        async for event in ephemeral_segments(stages, scope, media):
            ledger.note_ingest(event)
            if event.WhichOneof("event") == "segment":
                yield event.segment
            else:
                kind = _kind(event.asset_info.modality)

    vectors: list[media_pb2.Embedding] = []
    config = encode_config(ANSWER_TASKS, moderated=moderation.categories)
    async for event in encode_segments(stages, scope, config, segments()):
        await moderation.media(ledger.of_segment, event)
        match event.WhichOneof("event"):
            case "embedding":
                vectors.append(event.embedding.embedding)
            case "observation" if event.observation.WhichOneof("observed") == "transcript":
                vectors.append(event.observation.embedding)
    if not vectors:
        raise InvalidInput(
            "QUERY_MEDIA_EMPTY",
            "Nothing to search for was recognised in media, such as a picture or speech.",
            subject="media",
        )
    return kind, mean_embedding(vectors)
