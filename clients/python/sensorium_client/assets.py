"""How an asset becomes messages: announced, sent in chunks, finished with its hash."""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from uuid import uuid4

from sensorium.media.v1 import upload_pb2

from sensorium_client.media import Media

AssetMessage = upload_pb2.AssetStart | upload_pb2.MediaChunk | upload_pb2.AssetFinish

_FIELD_NAMES: dict[type[AssetMessage], str] = {
    upload_pb2.AssetStart: "asset_start",
    upload_pb2.MediaChunk: "chunk",
    upload_pb2.AssetFinish: "asset_finish",
}


def as_field(message: AssetMessage) -> dict[str, Any]:
    """The message as the one field of a request that carries it."""
    return {_FIELD_NAMES[type(message)]: message}


def fresh_asset_id() -> str:
    """An id that no other asset has."""
    return uuid4().hex


async def asset_messages(
    media: Media, asset_id: str, resume_offset: Callable[[], Awaitable[int]] | None = None
) -> AsyncGenerator[AssetMessage, None]:
    """The messages that send one asset.

    With ``resume_offset`` the server is asked, after the announcement, where to
    go on from; a resumed asset needs ``media.sha256``. Without it, the bytes
    follow at once.
    """
    yield upload_pb2.AssetStart(
        asset_id=asset_id,
        name=media.display_name,
        size_bytes=media.size_bytes,
        tags=media.tags,
        metadata=media.metadata,
    )
    offset = await resume_offset() if resume_offset is not None else 0
    hasher = None if media.sha256 else hashlib.sha256()
    if hasher is not None and offset:
        raise ValueError("To resume an asset its sha256 must be known.")
    async for piece in media.pieces(offset):
        if hasher is not None:
            hasher.update(piece)
        yield upload_pb2.MediaChunk(asset_id=asset_id, offset=offset, data=piece)
        offset += len(piece)
    sha256 = media.sha256 if hasher is None else hasher.hexdigest()
    yield upload_pb2.AssetFinish(asset_id=asset_id, size_bytes=offset, sha256=sha256)
