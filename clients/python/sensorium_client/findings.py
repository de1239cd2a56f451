"""What a search tells, as plain frozen values like those of :mod:`sensorium_client.events`."""

from dataclasses import dataclass, field
from typing import ClassVar

from sensorium.gateway.v1 import gateway_pb2

from sensorium_client import decode, events
from sensorium_client.locators import Locator


@dataclass(frozen=True)
class SearchMatch:
    """A moment, region or passage that matched."""

    locator: Locator
    preview_text: str
    origin: str
    """"speech", "ocr", "label", "caption", "passage"; empty for likeness alone."""
    similarity: float
    """Cosine; means something else for each origin."""
    relevance: float
    """0 to 1; means the same for all."""
    score: float
    thumbnail: bytes = field(repr=False)
    """A small JPEG, if asked for."""


@dataclass(frozen=True)
class SearchResult:
    """An asset found, and where it matched, best first."""

    asset: events.StoredAsset
    matches: tuple[SearchMatch, ...]
    relevance: float
    score: float

    @property
    def asset_id(self) -> str:
        """The id of the asset."""
        return self.asset.asset_id

    @property
    def asset_name(self) -> str:
        """The name of the asset, for people."""
        return self.asset.description.name

    @property
    def modality(self) -> str:
        """ "text", "image", "video" or "audio"."""
        return self.asset.description.modality


@dataclass(frozen=True)
class LookAlike:
    """A picture or frame that looks like one that was asked about."""

    locator: Locator
    query_locator: Locator
    hamming_distance: int
    """How many of 64 bits differ."""


@dataclass(frozen=True)
class NearDuplicate:
    """An asset that looks like another, and where, nearest first."""

    asset: events.StoredAsset
    look_alikes: tuple[LookAlike, ...]
    hamming_distance: int


@dataclass(frozen=True, kw_only=True)
class SearchAnswer(events.Event):
    """The answer to one of many queries."""

    type: ClassVar[str] = "search_answer"
    query_id: str
    results: tuple[SearchResult, ...]


def results(message: gateway_pb2.SearchResponse) -> tuple[SearchResult, ...]:
    """What was found."""
    return tuple(
        SearchResult(
            asset=decode.asset(result.asset),
            matches=tuple(_match(match) for match in result.matches),
            relevance=decode.rounded(result.relevance),
            score=decode.rounded(result.score),
        )
        for result in message.results
    )


def _match(message: gateway_pb2.SearchMatch) -> SearchMatch:
    return SearchMatch(
        locator=decode.locator(message.locator),
        preview_text=message.preview_text,
        origin=decode.origin(message.origin),
        similarity=decode.rounded(message.similarity),
        relevance=decode.rounded(message.relevance),
        score=decode.rounded(message.score),
        thumbnail=message.thumbnail_jpeg,
    )


def near_duplicate(message: gateway_pb2.NearDuplicate) -> NearDuplicate:
    """What looks alike."""
    return NearDuplicate(
        asset=decode.asset(message.asset),
        look_alikes=tuple(
            LookAlike(
                locator=decode.locator(each.locator),
                query_locator=decode.locator(each.query_locator),
                hamming_distance=each.hamming_distance,
            )
            for each in message.look_alikes
        ),
        hamming_distance=message.hamming_distance,
    )


def event(message: gateway_pb2.StreamingSearchResponse) -> events.Event | None:
    """The event of a search stream; None for a kind that tells nothing of a query.

    Raises:
        SensoriumClientError: the response is the stream's error.
    """
    if message.WhichOneof("event") != "result":
        return decode.event(message)
    result = message.result
    return SearchAnswer(query_id=result.query_id, results=results(result.response))
