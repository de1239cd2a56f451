"""The body of a search, and what the contract makes of it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import Discriminator, Field, Tag
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.http.body.contents import read_media
from services.gateway.http.files.objects import MODALITIES, Modality
from services.gateway.http.remote import RemoteFiles
from services.gateway.http.schema import FILE_ID_CHARACTERS_MAX, FileId, Strict, Words
from services.gateway.http.search.date_range import Between, PeriodWords, read_date_range
from services.gateway.search import MATCH_COUNT_DEFAULT, MATCH_COUNT_MAX, OFFSET_MAX, TOP_K_MAX
from services.gateway.search_query import PART_COUNT_MAX
from services.runtime.errors import InvalidInput

RELEVANCE_MAX = 0.9999
"""What comes nearer to 1 is 1 in the single precision of the contract."""
_BYTES = ("data:", "http://", "https://")
_MODALITY_NUMBERS = {name: number for number, name in MODALITIES.items()}


class QueryPart(Strict):
    """Something to look for."""

    type: Literal["text", "image", "audio", "video"]
    content: Words
    """Words, at most 8,000 characters; of media a data: or http(s) URL of at most 3 MiB, or the
    id of a stored file."""
    weight: float = Field(1.0, ge=0, le=1000)
    """How much it counts beside the others."""

    @property
    def names_file(self) -> bool:
        """Whether the content is the id of a stored file."""
        return self.type != "text" and not self.content[:8].lower().startswith(_BYTES)


class Filters(Strict):
    """What is searched; all must hold."""

    user_id: str | None = Field(None, max_length=64)
    """Only what this user stored."""
    date_range: (
        Annotated[
            Annotated[PeriodWords, Tag("words")] | Annotated[Between, Tag("dates")],
            Discriminator(lambda sent: "words" if isinstance(sent, str) else "dates"),
        ]
        | None
    ) = Field(None, examples=["last_30_days", "today", {"from": "2024-05-01", "to": "2024-05-31"}])
    """When it was stored: last_<number>_hours, _days, _weeks, _months or _years; today;
    yesterday; or two dates or times, of which one may be left out."""
    tags: list[str] = Field(default_factory=list, json_schema_extra={"maxItems": 32})
    """Only what has all of these; at most 32."""
    metadata: dict[str, str] = Field(default_factory=dict, json_schema_extra={"maxProperties": 32})
    """Only what has each of these keys with exactly this value; at most 32."""
    file_ids: list[FileId] = Field(default_factory=list, json_schema_extra={"maxItems": 1000})
    """Only these files; at most 1000."""


def _count(sent: object) -> str:
    return "mix" if isinstance(sent, list) else "one"


class SearchBody(Strict):
    """A search."""

    query: Annotated[
        Annotated[QueryPart, Tag("one")]
        | Annotated[
            Annotated[list[QueryPart], Field(min_length=1, max_length=PART_COUNT_MAX)],
            Tag("mix"),
        ],
        Discriminator(_count),
    ]
    """What to look for; several things are mixed by their weights."""
    search_modalities: list[Modality] = Field([], max_length=len(MODALITIES))
    """Only these; empty means all."""
    top_k: int = Field(10, ge=1, le=TOP_K_MAX)
    """At most this many files."""
    offset: int = Field(0, ge=0, le=OFFSET_MAX)
    """So many of the best are left out: for the next page."""
    filters: Filters = Filters()
    relevance_min: float = Field(0.0, ge=0, le=RELEVANCE_MAX)
    """Only matches of at least this similarity_score."""
    match_count_max: int = Field(MATCH_COUNT_DEFAULT, ge=1, le=MATCH_COUNT_MAX)
    """At most so many matched_frames of each file."""

    @property
    def parts(self) -> Sequence[QueryPart]:
        """What to look for, one or several."""
        return self.query if isinstance(self.query, list) else [self.query]

    def param(self, index: int) -> str:
        """What the request calls the content of a part."""
        return f"query[{index}].content" if isinstance(self.query, list) else "query.content"

    def names(self) -> dict[str, str]:
        """What the contract calls a field -> what the request does."""
        parts = {
            f"parts[{index}]{field}": self.param(index)
            for index in range(len(self.parts))
            for field in ("", ".text", ".media", ".asset_id")
        }
        ids = {
            part.content: self.param(index)
            for index, part in enumerate(self.parts)
            if part.names_file
        }
        filters = {name: f"filters.{name}" for name in ("tags", "metadata")}
        return {
            **ids,
            **parts,
            **filters,
            "parts": "query",
            "media": "query",
            "asset_ids": "filters.file_ids",
        }


async def read_search(body: SearchBody, remote: RemoteFiles) -> gateway_pb2.SearchRequest:
    """The search with its bytes. Raises SensoriumError, naming the field."""
    filters = body.filters
    request = gateway_pb2.SearchRequest(
        modalities=[_MODALITY_NUMBERS[each] for each in body.search_modalities],
        top_k=body.top_k,
        offset=body.offset,
        asset_ids=filters.file_ids,
        user_id=filters.user_id or "",
        tags=filters.tags,
        metadata=filters.metadata,
        relevance_min=body.relevance_min,
        match_count_max=body.match_count_max,
    )
    for index, part in enumerate(body.parts):
        sought = gateway_pb2.QueryPart(weight=part.weight)
        if part.type == "text":
            sought.text = part.content
        elif part.names_file:
            if len(part.content) > FILE_ID_CHARACTERS_MAX:
                raise InvalidInput(
                    "CONTENT_INVALID",
                    "Media is sought by a data: or http(s) URL, or by the id of a stored file.",
                    subject=body.param(index),
                )
            sought.asset_id = part.content
        else:
            sought.media = await read_media(part.content, body.param(index), remote)
        request.parts.append(sought)
    if filters.date_range is not None:
        period = read_date_range(filters.date_range, datetime.now(UTC))
        if period.start:
            request.create_time_min.CopyFrom(_timestamp(period.start))
        if period.end:
            request.create_time_max.CopyFrom(_timestamp(period.end))
    return request


def _timestamp(when: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(when)
    return timestamp
