"""One upload stream: hands each message to its asset and never waits for a decoder."""

import asyncio

from services.ingest.engine import IngestEngine
from services.ingest.events import (
    AssetAnnouncement,
    AssetCommitted,
    AssetFailed,
    Event,
    SegmentCut,
    StreamScope,
)
from services.ingest.intake import Chunk, EndOfStream, Finish
from services.ingest.names import is_asset_id, is_metadata_key, is_sha256
from services.ingest.upload import AssetUpload, Emit, too_large
from services.runtime.errors import InvalidInput, LimitExceeded, OutOfOrder, SensoriumError

OPEN_ASSETS_MAX = 64
CHUNK_BYTES_MAX = 1 << 20
NAME_CHARACTERS_MAX = 255
TAG_COUNT_MAX = 32
TAG_CHARACTERS_MAX = 64
METADATA_COUNT_MAX = 32
METADATA_CHARACTERS_MAX = 256


class IngestSession:
    """The assets of one stream. Their tasks run in ``group``."""

    def __init__(
        self, engine: IngestEngine, scope: StreamScope, group: asyncio.TaskGroup, emit: Emit
    ) -> None:
        self._engine = engine
        self._scope = scope
        self._group = group
        self._emit = emit
        self._uploads: dict[str, AssetUpload] = {}
        self._tasks: dict[asyncio.Task[None], AssetUpload] = {}
        self._refused: set[str] = set()
        self.asset_count = 0
        self.segment_count = 0
        self.received_bytes = 0

    async def start(self, asset: AssetAnnouncement) -> None:
        """Announce an asset. One that cannot be taken is told as an event.

        Raises:
            OutOfOrder: ``ASSET_REPEATED`` while the same asset is still open here.
        """
        try:
            self._check(asset)
        except SensoriumError as error:
            asset_id = asset.asset_id[:64]
            self._refused.add(asset_id)
            await self._emit(AssetFailed(asset_id, error))
            return
        running = [upload for task, upload in self._tasks.items() if not task.done()]
        if self._uploads.get(asset.asset_id) in running:
            raise OutOfOrder(
                "ASSET_REPEATED", "This asset is already being sent here.", subject="asset_start"
            )
        if len(running) >= OPEN_ASSETS_MAX:
            await self._wait_for_room(running)
        self._refused.discard(asset.asset_id)
        upload = AssetUpload(self._engine, self._scope, asset, self._note)
        self._uploads[asset.asset_id] = upload
        task = self._group.create_task(upload.run())
        self._tasks[task] = upload
        self._engine.uploads.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self.received_bytes += self._tasks.pop(task).received_bytes
        self._engine.uploads.discard(task)

    async def _wait_for_room(self, running: list[AssetUpload]) -> None:
        """Wait until a finished asset is done; if none is finished the client has too many open."""
        if not any(upload.is_finishing for upload in running):
            raise LimitExceeded(
                "TOO_MANY_ASSETS",
                f"At most {OPEN_ASSETS_MAX} assets may be open at once; finish some first.",
                subject="asset_start",
            )
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def append(self, asset_id: str, offset: int, data: bytes) -> None:
        """The next bytes of an asset; those of one that failed are dropped.

        Raises:
            OutOfOrder: ``ASSET_NOT_STARTED``.
            InvalidInput: ``CHUNK_TOO_LARGE``.
        """
        upload = self._find(asset_id)
        if len(data) > CHUNK_BYTES_MAX:
            raise InvalidInput(
                "CHUNK_TOO_LARGE",
                f"A chunk may have at most {CHUNK_BYTES_MAX} bytes.",
                subject="chunk.data",
            )
        if upload is not None:
            await upload.intake.put(Chunk(offset, data))

    async def finish(self, asset_id: str, finish: Finish) -> None:
        """All bytes of an asset are sent; doing it twice is harmless.

        Raises:
            OutOfOrder: ``ASSET_NOT_STARTED``.
            InvalidInput: ``SHA256_INVALID``, ``TAGS_INVALID``, ``METADATA_INVALID``.
        """
        upload = self._find(asset_id)
        if finish.sha256 and not is_sha256(finish.sha256):
            raise InvalidInput(
                "SHA256_INVALID",
                "sha256 must be 64 lower-case hexadecimal digits or empty.",
                subject="asset_finish.sha256",
            )
        if upload is not None and not upload.is_finishing:
            upload.label(finish.tags, finish.metadata)
            _check_labels(upload.asset, "asset_finish")
            upload.is_finishing = True
            await upload.intake.put(finish)

    async def end(self) -> None:
        """No more messages come: what is finished is completed, the rest stays resumable."""
        for upload in list(self._tasks.values()):
            if not upload.is_finishing:
                await upload.intake.put(EndOfStream())
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def _find(self, asset_id: str) -> AssetUpload | None:
        if asset_id in self._refused:
            return None
        upload = self._uploads.get(asset_id)
        if upload is None:
            raise OutOfOrder(
                "ASSET_NOT_STARTED", "Send asset_start before the asset's bytes.", subject="chunk"
            )
        return upload

    async def _note(self, event: Event) -> None:
        self.asset_count += isinstance(event, AssetCommitted)
        self.segment_count += isinstance(event, SegmentCut)
        await self._emit(event)

    def _check(self, asset: AssetAnnouncement) -> None:
        if not is_asset_id(asset.asset_id):
            raise InvalidInput(
                "ASSET_ID_INVALID",
                "An asset id has 1 to 64 letters, digits, '-' and '_'.",
                subject="asset_start.asset_id",
            )
        if len(asset.name) > NAME_CHARACTERS_MAX:
            raise InvalidInput(
                "NAME_TOO_LONG",
                f"A name has at most {NAME_CHARACTERS_MAX} characters.",
                subject="asset_start.name",
            )
        _check_labels(asset, "asset_start")
        if asset.size_bytes > self._engine.limits.asset_bytes_max:
            raise too_large(self._engine.limits.asset_bytes_max)


def _check_labels(asset: AssetAnnouncement, field: str) -> None:
    longest = max(map(len, asset.tags), default=0)
    if len(asset.tags) > TAG_COUNT_MAX or longest > TAG_CHARACTERS_MAX:
        raise InvalidInput(
            "TAGS_INVALID",
            f"At most {TAG_COUNT_MAX} tags of at most {TAG_CHARACTERS_MAX} characters.",
            subject=f"{field}.tags",
        )
    longest = max(map(len, asset.metadata.values()), default=0)
    if len(asset.metadata) > METADATA_COUNT_MAX or longest > METADATA_CHARACTERS_MAX:
        raise InvalidInput(
            "METADATA_INVALID",
            f"At most {METADATA_COUNT_MAX} entries of metadata, "
            f"values of at most {METADATA_CHARACTERS_MAX} characters.",
            subject=f"{field}.metadata",
        )
    if not all(map(is_metadata_key, asset.metadata)):
        raise InvalidInput(
            "METADATA_INVALID",
            "A key of metadata has 1 to 64 small letters, digits, '_', '.' and '-'.",
            subject=f"{field}.metadata",
        )
