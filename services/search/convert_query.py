"""Queries: protobuf to domain, every bound checked."""

import math
from collections.abc import Sequence

from sensorium.search.v1 import search_pb2

from services.runtime.errors import InvalidInput
from services.search.convert import (
    TAG_COUNT_MAX,
    check_metadata,
    modality_name,
    origin_name,
    read_time,
    read_vector,
)
from services.search.filters import Scope
from services.search.mixing import WeightedText, WeightedVector
from services.search.query import Query

TOP_K_DEFAULT = 10
TOP_K_MAX = 1000
QUERY_CHARACTERS_MAX = 8_000
ASSET_COUNT_MAX = 5000
PART_COUNT_MAX = 32
HASH_COUNT_MAX = 256
HAMMING_DISTANCE_MAX = 16


def read_query(message: search_pb2.SearchQuery, tenant_id: str, space: str) -> Query:
    """Raises InvalidInput QUERY_EMPTY, TOP_K_TOO_LARGE, OFFSET_TOO_LARGE,
    TEXT_TOO_LONG, TOO_MANY_PARTS, WEIGHT_INVALID, SIMILARITY_INVALID, for a bad
    filter or a bad vector."""
    vectors, texts = _read_parts(message, space)
    if not vectors and not texts:
        raise InvalidInput(
            "QUERY_EMPTY", "A query needs an embedding, a text or both.", subject="query"
        )
    top_k = message.top_k or TOP_K_DEFAULT
    if top_k > TOP_K_MAX:
        raise InvalidInput(
            "TOP_K_TOO_LARGE", f"At most {TOP_K_MAX} hits can be asked for.", subject="query.top_k"
        )
    if message.offset + top_k > TOP_K_MAX:
        raise InvalidInput(
            "OFFSET_TOO_LARGE",
            f"offset and top_k together are at most {TOP_K_MAX}.",
            subject="query.offset",
        )
    similarity_min = message.similarity_min if message.HasField("similarity_min") else None
    if similarity_min is not None and not math.isfinite(similarity_min):
        raise InvalidInput(
            "SIMILARITY_INVALID",
            "A similarity is between -1 and 1.",
            subject="query.similarity_min",
        )
    scope = _read_scope(message, tenant_id)
    return Query(scope, vectors, texts, top_k, message.offset, similarity_min)


def _read_parts(
    message: search_pb2.SearchQuery, space: str
) -> tuple[list[WeightedVector], list[WeightedText]]:
    """What counts of a query: what has a weight above 0."""
    if len(message.parts) > PART_COUNT_MAX:
        raise InvalidInput(
            "TOO_MANY_PARTS", f"A query has at most {PART_COUNT_MAX} parts.", subject="query.parts"
        )
    vectors: list[WeightedVector] = []
    texts: list[WeightedText] = []
    if message.HasField("embedding"):
        vectors.append(WeightedVector(read_vector(message.embedding, space, "query.embedding")))
    if text := _read_text(message.text, "query.text"):
        texts.append(WeightedText(text))
    for index, part in enumerate(message.parts):
        field = f"query.parts[{index}]"
        if not (math.isfinite(part.weight) and part.weight >= 0):
            raise InvalidInput(
                "WEIGHT_INVALID", "A weight is finite and not negative.", subject=f"{field}.weight"
            )
        if not part.weight:
            continue
        if part.WhichOneof("part") == "embedding":
            vector = read_vector(part.embedding, space, f"{field}.embedding")
            vectors.append(WeightedVector(vector, part.weight))
        elif text := _read_text(part.text, f"{field}.text"):
            texts.append(WeightedText(text, part.weight))
    return vectors, texts


def _read_text(text: str, field: str) -> str:
    if len(text) > QUERY_CHARACTERS_MAX:
        raise InvalidInput(
            "TEXT_TOO_LONG",
            f"A query has at most {QUERY_CHARACTERS_MAX} characters.",
            subject=field,
        )
    return text.strip()


def _read_scope(message: search_pb2.SearchQuery, tenant_id: str) -> Scope:
    if len(message.tags) > TAG_COUNT_MAX:
        raise InvalidInput(
            "TOO_MANY_TAGS", f"Name at most {TAG_COUNT_MAX} tags.", subject="query.tags"
        )
    check_metadata(message.metadata, "query.metadata")
    for asset_ids, field in (
        (message.asset_ids, "query.asset_ids"),
        (message.excluded_asset_ids, "query.excluded_asset_ids"),
    ):
        _check_asset_count(asset_ids, field)
    return Scope(
        tenant_id,
        # Each once: a message has room for millions.
        modalities=tuple({modality_name(number) for number in message.modalities}),
        asset_ids=tuple(message.asset_ids),
        excluded_asset_ids=tuple(message.excluded_asset_ids),
        excluded_origins=tuple({origin_name(number) for number in message.excluded_origins}),
        user_id=message.user_id,
        tags=tuple(message.tags),
        metadata=tuple(message.metadata.items()),
        create_time_min_us=_read_time(message, "create_time_min"),
        create_time_max_us=_read_time(message, "create_time_max"),
    )


def _read_time(message: search_pb2.SearchQuery, name: str) -> int | None:
    """Microseconds from the epoch, or None where the time is not set."""
    if not message.HasField(name):  # type: ignore[arg-type]
        return None
    return read_time(getattr(message, name), f"query.{name}")


def _check_asset_count(asset_ids: Sequence[str], field: str) -> None:
    if len(asset_ids) > ASSET_COUNT_MAX:
        raise InvalidInput(
            "TOO_MANY_ASSETS", f"Name at most {ASSET_COUNT_MAX} assets.", subject=field
        )


def read_hashes(message: search_pb2.FindNearDuplicatesRequest) -> list[int]:
    """The hashes to look for. Raises InvalidInput HASHES_MISSING, TOO_MANY_HASHES,
    DISTANCE_TOO_LARGE or TOO_MANY_ASSETS."""
    if not message.perceptual_hashes:
        raise InvalidInput("HASHES_MISSING", "Give a hash.", subject="perceptual_hashes")
    if len(message.perceptual_hashes) > HASH_COUNT_MAX:
        raise InvalidInput(
            "TOO_MANY_HASHES", f"Give at most {HASH_COUNT_MAX} hashes.", subject="perceptual_hashes"
        )
    if message.hamming_distance_max > HAMMING_DISTANCE_MAX:
        raise InvalidInput(
            "DISTANCE_TOO_LARGE",
            f"Of pictures that look alike at most {HAMMING_DISTANCE_MAX} bits differ.",
            subject="hamming_distance_max",
        )
    _check_asset_count(message.excluded_asset_ids, "excluded_asset_ids")
    return list(message.perceptual_hashes)
