"""Stored bytes on their way back: whole or a range, never more than a block in memory."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from services.ingest.content import Content
from services.ingest.engine import IngestEngine
from services.runtime.errors import InternalFailure, NotFound

PIECE_BYTES = 256 << 10
"""Largest piece that is handed out."""
BLOCK_BYTES = 4 * PIECE_BYTES
"""What is asked of the store at once. On S3 a request for each piece would be slow, and one for
everything would break when the client takes longer than a request may."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the bytes, and the offset of the first of them in the whole."""

    offset: int
    data: bytes


async def find_content(
    engine: IngestEngine, tenant: str, asset_id: str, rendition_name: str
) -> Content:
    """What an asset holds or, with a name, a rendition of it.

    Raises NotFound ``ASSET_NOT_FOUND`` or ``RENDITION_NOT_FOUND``.
    """
    record = await engine.on_disk(engine.store.get, tenant, asset_id)
    if not rendition_name:
        return Content(tenant, record)
    known = await engine.on_disk(engine.renditions.of, tenant, record.sha256)
    rendition = known.find(rendition_name)
    if rendition is None:
        raise NotFound(
            "RENDITION_NOT_FOUND",
            "The asset has no such rendition, or none yet: they are made in the background.",
            subject="rendition",
        )
    return Content(tenant, record, rendition)


async def read_content(
    engine: IngestEngine, content: Content, start: int, end: int
) -> AsyncGenerator[Piece, None]:
    """The bytes from ``start`` to before ``end``. The store is read when the next piece is asked
    for, so a slow client holds no thread.

    Raises:
        NotFound: ``ASSET_NOT_FOUND`` when it is deleted meanwhile.
        InternalFailure: ``CONTENT_DAMAGED`` when the store has fewer bytes than were committed.
    """
    for offset in range(start, end, BLOCK_BYTES):
        block = await _read_block(engine, content, offset, min(end, offset + BLOCK_BYTES))
        for within in range(0, len(block), PIECE_BYTES):
            yield Piece(offset + within, block[within : within + PIECE_BYTES])


async def _read_block(engine: IngestEngine, content: Content, start: int, end: int) -> bytes:
    tenant, sha256 = content.tenant, content.record.sha256
    asset_id = content.record.asset_id
    try:
        if content.rendition is None:
            block = await engine.on_disk(engine.store.read, tenant, sha256, start, end)
        else:
            name = content.rendition.name
            block = await engine.on_disk(engine.renditions.read, tenant, sha256, name, start, end)
    except FileNotFoundError:
        raise NotFound("ASSET_NOT_FOUND", "There is no such asset.", subject=asset_id) from None
    if len(block) < end - start:
        raise InternalFailure(
            "CONTENT_DAMAGED", "The store has lost bytes of this asset.", subject=asset_id
        )
    return block
