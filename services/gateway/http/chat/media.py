"""The media of a request, whatever form it comes in, as messages of a turn."""

import binascii
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import pybase64
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import upload_pb2

from services.gateway.http.remote import RemoteFiles
from services.gateway.pipeline import TurnMessage
from services.runtime.errors import InvalidInput

TURN_ID = "1"
CHUNK_CHARACTERS = 1_398_100
"""Of base64 at once: 1,048,575 bytes, decoded in 0.1 ms."""
_DATA_URL_HEAD_MAX = 256


@dataclass(frozen=True, slots=True)
class OpenMedia:
    """Media whose bytes can be read."""

    name: str
    size_bytes: int
    """0 where it is not known."""
    chunks: AsyncIterator[bytes]
    """The bytes; at most 1 MiB each."""


@dataclass(frozen=True, slots=True)
class Media:
    """One piece of media, before its bytes are read."""

    param: str
    """The field that holds it, such as ``messages[0].content[1].image_url.url``."""
    open: Callable[[], AbstractAsyncContextManager[OpenMedia]]
    detail: upload_pb2.PictureDetail.ValueType = upload_pb2.PICTURE_DETAIL_UNSPECIFIED


async def send_media(media: Media, asset_id: str) -> AsyncGenerator[TurnMessage, None]:
    """The messages that send a piece of media as an asset."""
    async with media.open() as opened:
        start = upload_pb2.AssetStart(
            asset_id=asset_id,
            name=opened.name,
            size_bytes=opened.size_bytes,
            detail=media.detail,
            discard_unfinished=True,
        )
        yield TurnMessage(turn_id=TURN_ID, asset_start=start)
        offset = 0
        async for data in opened.chunks:
            chunk = upload_pb2.MediaChunk(asset_id=asset_id, offset=offset, data=data)
            yield TurnMessage(turn_id=TURN_ID, chunk=chunk)
            offset += len(data)
        finish = upload_pb2.AssetFinish(asset_id=asset_id, size_bytes=offset)
        yield TurnMessage(turn_id=TURN_ID, asset_finish=finish)


def from_url(
    url: str, name: str, param: str, remote: RemoteFiles
) -> Callable[[], AbstractAsyncContextManager[OpenMedia]]:
    """What a ``data:`` or http(s) URL holds. ``name`` is for what has none. Raises InvalidInput
    DATA_URL_INVALID."""
    if url[:5].lower() == "data:":
        head, comma, _ = url[5 : 5 + _DATA_URL_HEAD_MAX].partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidInput(
                "DATA_URL_INVALID",
                "A data: URL must be data:<media type>;base64,<bytes>.",
                subject=param,
            )
        return from_base64(url[5 + len(head) + 1 :], name, param)

    @asynccontextmanager
    async def fetch() -> AsyncIterator[OpenMedia]:
        async with remote.open(url, param) as file:
            yield OpenMedia(file.name, file.size_bytes, file.chunks)

    return fetch


def from_base64(
    data: str, name: str, param: str
) -> Callable[[], AbstractAsyncContextManager[OpenMedia]]:
    """What base64 holds. Reading raises InvalidInput BASE64_INVALID."""

    @asynccontextmanager
    async def decode() -> AsyncIterator[OpenMedia]:
        # Some wrap their lines.
        compact = "".join(data.split()) if _has_blanks(data) else data
        size_bytes = len(compact) * 3 // 4 - compact[-2:].count("=")
        yield OpenMedia(name, size_bytes, _decoded(compact, param))

    return decode


def _has_blanks(data: str) -> bool:
    return any(blank in data for blank in " \t\r\n")


async def _decoded(data: str, param: str) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), CHUNK_CHARACTERS):
        try:
            yield pybase64.b64decode(data[start : start + CHUNK_CHARACTERS], validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(
                "BASE64_INVALID", "The bytes are not well-formed base64.", subject=param
            ) from None


def new_asset_id() -> str:
    """An id that no other asset has."""
    return f"file-{uuid4().hex}"


def question(text: str) -> TurnMessage:
    """The question of the turn."""
    return TurnMessage(turn_id=TURN_ID, text=gateway_pb2.TextChunk(text=text))


def end_turn(asset_ids: tuple[str, ...]) -> TurnMessage:
    """The end of the turn; ``asset_ids`` are stored assets to consult."""
    return TurnMessage(turn_id=TURN_ID, end_turn=gateway_pb2.EndTurn(asset_ids=asset_ids))
