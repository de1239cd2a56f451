"""What can be looked for: one thing or a mix of several, and among what."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import timestamp_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from sensorium_client.media import MediaFile

SEARCH_MEDIA_BYTES_MAX = 3 << 20
"""All files of one search; what is more is stored first and searched by its asset id."""


@dataclass(frozen=True, kw_only=True)
class QueryPart:
    """One thing to look for: exactly one of words, a file and a stored asset."""

    text: str = ""
    file: Path | str | None = None
    """A picture, a film, a recording: what looks or sounds like it."""
    asset_id: str = ""
    weight: float = 1.0
    """How much it counts beside the others."""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.text, self.file, self.asset_id))) != 1:
            raise ValueError("Give exactly one of text, file and asset_id.")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Among what is searched, and how much is told. What is not set does not narrow."""

    modalities: tuple[str, ...] = ()
    """Of "text", "image", "video", "audio"."""
    asset_ids: tuple[str, ...] = ()
    user_id: str = ""
    tags: tuple[str, ...] = ()
    """All of them."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """All of these keys with exactly these values."""
    stored_from_s: float | None = None
    """Stored at this time, in seconds since 1970, or later."""
    stored_before_s: float | None = None
    """Stored before this time, in seconds since 1970."""
    age_max_s: float = 0.0
    """Stored so long ago at most."""
    relevance_min: float = 0.0
    """Matches of at least this relevance, 0 to below 1."""
    top_k: int = 10
    """At most this many assets, at most 100; with thumbnails 20."""
    offset: int = 0
    """So many of the best assets are left out, at most 900."""
    match_count_max: int = 5
    """At most this many matches of each asset, at most 50."""
    thumbnails: bool = False
    """Whether matches of pictures and videos come with a small picture."""


@dataclass(frozen=True)
class SearchQuery:
    """A search: what is looked for, mixed by weights, and among what."""

    parts: tuple[QueryPart, ...]
    options: SearchOptions = SearchOptions()

    async def message(self, store: Callable[[Path], Awaitable[str]]) -> gateway_pb2.SearchRequest:
        """As the contract has it. ``store`` gives the asset id of a file too large to
        travel in a message."""
        options = self.options
        request = gateway_pb2.SearchRequest(
            modalities=[
                media_pb2.Modality.Value(f"MODALITY_{name.upper()}") for name in options.modalities
            ],
            asset_ids=options.asset_ids,
            user_id=options.user_id,
            tags=options.tags,
            metadata=options.metadata,
            create_time_min=_timestamp(options.stored_from_s),
            create_time_max=_timestamp(options.stored_before_s),
            relevance_min=options.relevance_min,
            top_k=options.top_k,
            offset=options.offset,
            match_count_max=options.match_count_max,
            thumbnails=options.thumbnails,
        )
        if options.age_max_s:
            request.age_max.FromMicroseconds(round(options.age_max_s * 1e6))
        room_bytes = SEARCH_MEDIA_BYTES_MAX
        for part in self.parts:
            message = request.parts.add(weight=part.weight)
            if part.text:
                message.text = part.text
            elif part.asset_id:
                message.asset_id = part.asset_id
            else:
                file = MediaFile(Path(part.file or ""))
                if file.size_bytes <= room_bytes:
                    message.media = b"".join([piece async for piece in file.pieces()])
                    room_bytes -= len(message.media)
                else:
                    message.asset_id = await store(file.path)
        return request


def _timestamp(time_s: float | None) -> timestamp_pb2.Timestamp | None:
    if time_s is None:
        return None
    timestamp = timestamp_pb2.Timestamp()
    timestamp.FromMicroseconds(round(time_s * 1e6))
    return timestamp
