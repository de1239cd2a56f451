"""Small constructors of what is indexed."""

import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.search.filters import Scope
from services.search.lease import FolderLease
from services.search.mixing import WeightedText, WeightedVector
from services.search.query import Query, Searcher
from services.search.ranking import Hit
from services.search.record import Chars, Record, Region, Span, Vector
from services.search.tables import Tables
from services.search.writer import IndexWriter, WriterOptions

SPACE = "test-space"
DIMENSION = 8


def vector(seed: str | int) -> Vector:
    """The same unit vector for the same seed."""
    digest = hashlib.sha256(str(seed).encode()).digest()
    numbers = np.random.default_rng(list(digest)).normal(size=DIMENSION)
    normalised: Vector = (numbers / np.linalg.norm(numbers)).astype(np.float32)
    return normalised


def record(
    document_id: str,
    *,
    tenant_id: str = "tenant",
    asset_id: str = "asset",
    text: str = "",
    modality: str = "video",
    user_id: str = "",
    start_ms: int | None = None,
    seed: str | int | None = None,
    region: Region | None = None,
    chars: Chars | None = None,
    tags: tuple[str, ...] = ("holiday", "it's"),
    metadata: Mapping[str, str] | None = None,
    create_time_us: int = 1_700_000_000_123_456,
    perceptual_hash: int | None = None,
    origin: str = "ocr",
) -> Record:
    return Record(
        tenant_id=tenant_id,
        document_id=document_id,
        segment_id=document_id.split("#")[0],
        asset_id=asset_id,
        asset_name="clip.mp4",
        asset_sha256="0" * 64,
        user_id=user_id,
        modality=modality,
        segment_kind="video_frame",
        origin=origin,
        text=text,
        confidence=0.5,
        span=None if start_ms is None else Span(start_ms, start_ms + 10),
        region=region,
        chars=chars,
        tags=tags,
        metadata=metadata or {},
        create_time_us=create_time_us,
        perceptual_hash=perceptual_hash,
        vector=vector(document_id if seed is None else seed),
    )


def near(scope: Scope, seed: str | int, text: str = "", top_k: int = 10) -> Query:
    """A query by a vector, and by words where there are any."""
    texts = [WeightedText(text)] if text else []
    return Query(scope, [WeightedVector(vector(seed))], texts, top_k)


@dataclass(frozen=True, slots=True)
class Index:
    """An open index: what writes it and what reads it."""

    tables: Tables
    writer: IndexWriter
    searcher: Searcher

    async def add(self, *records: Record) -> None:
        assert await self.writer.write(SPACE, records) == [None] * len(records)

    async def by_vector(self, seed: str | int, scope: Scope, top_k: int = 10) -> list[Hit]:
        return await self.searcher.search(SPACE, near(scope, seed, top_k=top_k))

    async def by_text(self, text: str, scope: Scope, top_k: int = 10) -> list[Hit]:
        query = Query(scope, texts=[WeightedText(text)], top_k=top_k)
        return await self.searcher.search(SPACE, query)

    async def ids(self, tenant_id: str = "tenant", asset_id: str = "asset") -> list[str]:
        found = await self.searcher.list_assets(SPACE, tenant_id, [asset_id])
        return [listed.document_id for listed in found]


@contextlib.asynccontextmanager
async def open_index(folder: Path, options: WriterOptions | None = None) -> AsyncIterator[Index]:
    tables = Tables(folder)
    await tables.connect()
    lease = FolderLease(folder, address="")
    assert await lease.acquire() is None
    writer = IndexWriter(tables, lease, options or WriterOptions())
    await writer.start()
    try:
        yield Index(tables, writer, Searcher(tables))
    finally:
        await writer.stop()
        await lease.release()
        tables.close()


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.record.document_id for hit in hits]
