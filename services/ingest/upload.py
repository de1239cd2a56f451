"""One asset of a stream: spooled, hashed and cut at the same time, then committed."""

import asyncio
import errno
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services.ingest.engine import IngestEngine
from services.ingest.events import (
    AssetAnnouncement,
    AssetCommitted,
    AssetFailed,
    ChunkAck,
    Event,
    InfoFound,
    SegmentCut,
    SegmentsComplete,
    SoundHeard,
    StreamScope,
    UploadOpened,
)
from services.ingest.growing import Growth
from services.ingest.intake import Chunk, Finish, Intake
from services.ingest.model import MediaInfo, SoundPreview
from services.ingest.records import AssetRecord, require_same_bytes
from services.ingest.spool import SYNC_INTERVAL_S, Part
from services.runtime.errors import (
    AlreadyExists,
    InternalFailure,
    InvalidInput,
    LimitExceeded,
    OutOfOrder,
    SensoriumError,
    Unavailable,
)
from services.runtime.streams import first_error
from services.runtime.telemetry import span

log = logging.getLogger(__name__)

ACK_BYTES = 1 << 20
_RESUMABLE = {
    "CHUNK_OFFSET_MISMATCH",
    "ASSET_UNFINISHED",
    "UPLOAD_STALLED",
    "ASSET_BEING_DELETED",
}
"""Failures after which the durable part is still good."""

Emit = Callable[[Event], Awaitable[None]]


class AssetUpload:
    """Runs in a task of its own; the reader of the stream only fills its intake."""

    def __init__(
        self, engine: IngestEngine, scope: StreamScope, asset: AssetAnnouncement, emit: Emit
    ) -> None:
        self.intake = Intake()
        self.is_finishing = False
        self.received_bytes = 0
        """Bytes taken in by this stream, for its summary."""
        self._engine = engine
        self._scope = scope
        self.asset = asset
        self._emit = emit
        self._ack_due = asyncio.Event()

    def label(self, tags: Sequence[str], metadata: Mapping[str, str]) -> None:
        """Add to what was announced."""
        self.asset = replace(
            self.asset,
            tags=(*self.asset.tags, *(tag for tag in tags if tag not in self.asset.tags)),
            metadata={**self.asset.metadata, **metadata},
        )

    async def run(self) -> None:
        """Take the asset in to its end; what is wrong with it is told as an event."""
        asset_id = self.asset.asset_id
        try:
            await self._take_in()
        except SensoriumError as error:
            await self._emit(AssetFailed(asset_id, error))
        except OSError as error:
            log.exception("the disk failed an upload")
            await self._emit(AssetFailed(asset_id, _disk_failure(error)))
        finally:
            self.intake.close()

    async def _take_in(self) -> None:
        engine, tenant = self._engine, self._scope.tenant
        if self._scope.ephemeral:
            part = await engine.open_part(engine.spool.open_temporary, tenant)
        else:
            existing = await engine.on_disk(engine.store.find, tenant, self.asset.asset_id)
            if existing is not None:
                await self._repeat(existing)
                return
            part = await engine.open_part(engine.spool.open, tenant, self.asset.asset_id)
        keep = part.discard if self.asset.discard_unfinished else part.close
        release = keep
        try:
            await self._emit(UploadOpened(self.asset.asset_id, part.received_bytes))
            sha256, info = await self._spool_and_cut(part)
            if not self._scope.ephemeral:
                await self._commit(part, sha256, info)
                release = part.discard
        except (InvalidInput, LimitExceeded, OutOfOrder, AlreadyExists) as error:
            release = keep if error.reason in _RESUMABLE else part.discard
            raise
        finally:
            await engine.on_disk(release)

    async def _spool_and_cut(self, part: Part) -> tuple[str, MediaInfo]:
        """Write the bytes and cut them side by side; the hash and what the asset is."""
        try:
            async with asyncio.TaskGroup() as group:
                acks = group.create_task(self._send_acks(part))
                cutting = group.create_task(self._cut(part.path, part.growth))
                sha256 = await self._spool(part)
                acks.cancel()
                await self._emit(self._ack(part))
                info, segment_count = await cutting
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        if not self._scope.store_only:
            await self._emit(SegmentsComplete(self.asset.asset_id, segment_count))
        return sha256, info

    async def _spool(self, part: Part) -> str:
        """Write what comes in until the finish; the SHA-256 of all of it, checked."""
        acked_bytes = durable_bytes = part.durable_bytes
        while True:
            is_synced = part.durable_bytes == part.received_bytes
            messages = await self.intake.take(None if is_synced else SYNC_INTERVAL_S)
            chunks: list[bytes] = []
            finish = None
            expected = part.received_bytes
            for message in messages:
                if isinstance(message, Chunk):
                    if finish is not None or message.offset != expected:
                        await self._engine.on_disk(part.append, chunks)
                        raise _offset_mismatch(expected, message.offset)
                    chunks.append(message.data)
                    expected += len(message.data)
                    self._check_size(expected)
                elif isinstance(message, Finish):
                    finish = message
                else:
                    await self._engine.on_disk(part.append, chunks)
                    raise _unfinished()
            if chunks:
                self.received_bytes += expected - part.received_bytes
                await self._engine.on_disk(part.append, chunks)
            elif finish is None:
                await self._engine.on_disk(part.sync)
            if finish is not None:
                _check_finish_size(finish, part.received_bytes)
                sha256 = await self._engine.on_disk(part.finish)
                if finish.sha256 and finish.sha256 != sha256:
                    raise _checksum_mismatch()
                return sha256
            if part.received_bytes - acked_bytes >= ACK_BYTES or part.durable_bytes > durable_bytes:
                acked_bytes, durable_bytes = part.received_bytes, part.durable_bytes
                self._ack_due.set()

    async def _send_acks(self, part: Part) -> None:
        """Acknowledge apart from the writing: a client that does not read must not stop it."""
        while True:
            await self._ack_due.wait()
            self._ack_due.clear()
            await self._emit(self._ack(part))

    def _ack(self, part: Part) -> ChunkAck:
        return ChunkAck(self.asset.asset_id, part.received_bytes, part.durable_bytes)

    async def _cut(self, path: Path, growth: Growth) -> tuple[MediaInfo, int]:
        """Cut while the bytes arrive; what the asset is, and how many segments it gave."""
        asset_id, scope = self.asset.asset_id, self._scope
        info, segment_count = None, 0
        with span("ingest.cut", asset_id=asset_id) as current:
            async with self._engine.cutting(
                path, growth, self.asset.name, scope.cut_options, info_only=scope.store_only
            ) as items:
                async for item in items:
                    if isinstance(item, MediaInfo):
                        info = item
                        await self._emit(InfoFound(asset_id, self.asset.name, item))
                    elif isinstance(item, SoundPreview):
                        await self._emit(SoundHeard(asset_id, item))
                    else:
                        segment_count += 1
                        await self._emit(SegmentCut(asset_id, item))
            current.set_attribute("segment_count", segment_count)
        if info is None:
            raise InternalFailure("CUT_INCOMPLETE", "The asset could not be cut.")
        return info, segment_count

    async def _commit(self, part: Part, sha256: str, info: MediaInfo) -> None:
        draft = AssetRecord(
            asset_id=self.asset.asset_id,
            name=self.asset.name,
            sha256=sha256,
            size_bytes=part.received_bytes,
            info=info,
            create_time_us=0,
            user_id=self._scope.user_id,
            tags=self.asset.tags,
            metadata=self.asset.metadata,
        )
        engine = self._engine
        record = await engine.on_disk(engine.store.commit, self._scope.tenant, part.path, draft)
        engine.renderer.submit(self._scope.tenant, record)
        await self._emit(AssetCommitted(record))

    async def _repeat(self, existing: AssetRecord) -> None:
        """The asset is committed already: check that it is the same, cut it from the store.

        The client need not send the bytes again; if it does they are only hashed.
        """
        if self.asset.size_bytes and self.asset.size_bytes != existing.size_bytes:
            require_same_bytes(existing, "")
        await self._emit(UploadOpened(existing.asset_id, existing.size_bytes))
        digest = hashlib.sha256()
        finish = None
        while finish is None:
            for message in await self.intake.take(None):
                if isinstance(message, Chunk):
                    if message.offset != self.received_bytes:
                        raise _offset_mismatch(self.received_bytes, message.offset)
                    self.received_bytes += len(message.data)
                    self._check_size(self.received_bytes)
                    await self._engine.on_disk(digest.update, message.data)
                elif isinstance(message, Finish):
                    finish = message
                else:
                    raise _unfinished()
        if finish.size_bytes != existing.size_bytes:
            require_same_bytes(existing, "")
        if self.received_bytes:
            _check_finish_size(finish, self.received_bytes)
            require_same_bytes(existing, digest.hexdigest())
        if finish.sha256:
            require_same_bytes(existing, finish.sha256)
        async with self._engine.stored_file(self._scope.tenant, existing) as path:
            _, segment_count = await self._cut(path, Growth(existing.size_bytes, complete=True))
        if not self._scope.store_only:
            await self._emit(SegmentsComplete(existing.asset_id, segment_count))
        await self._emit(AssetCommitted(existing))

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._engine.limits.asset_bytes_max:
            raise too_large(self._engine.limits.asset_bytes_max)
        if self.asset.size_bytes and size_bytes > self.asset.size_bytes:
            raise InvalidInput(
                "SIZE_MISMATCH",
                "More bytes came than asset_start announced.",
                subject="asset_start.size_bytes",
            )


def too_large(bytes_max: int) -> LimitExceeded:
    """The error for a file past the limit of its size."""
    return LimitExceeded("ASSET_TOO_LARGE", f"A file may have at most {bytes_max} bytes.")


def _check_finish_size(finish: Finish, received_bytes: int) -> None:
    if finish.size_bytes != received_bytes:
        raise InvalidInput(
            "SIZE_MISMATCH",
            f"asset_finish says {finish.size_bytes} bytes, but {received_bytes} came.",
            subject="asset_finish.size_bytes",
        )


def _offset_mismatch(expected: int, offset: int) -> InvalidInput:
    return InvalidInput(
        "CHUNK_OFFSET_MISMATCH",
        f"The next chunk must start at offset {expected}, not at {offset}.",
        subject="chunk.offset",
    )


def _checksum_mismatch() -> InvalidInput:
    return InvalidInput(
        "CHECKSUM_MISMATCH",
        "The bytes that came do not have the SHA-256 of asset_finish; send them again.",
        subject="asset_finish.sha256",
    )


def _unfinished() -> OutOfOrder:
    return OutOfOrder(
        "ASSET_UNFINISHED",
        "The stream ended before asset_finish; nothing was committed, the upload can be resumed.",
        subject="asset_finish",
    )


def _disk_failure(error: OSError) -> SensoriumError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable("STORAGE_FULL", "The server has no room left.", retry_after_s=60.0)
    return InternalFailure("STORAGE_FAILED", "The server could not write the asset.")
