"""What all streams share: the spool, the store, the segmenter and their threads."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

from services.ingest.audit import Auditor, Finding
from services.ingest.growing import Cancellation, Growth
from services.ingest.links import Links
from services.ingest.local_file import local_file
from services.ingest.model import CutItem, MadeRendition, Modality
from services.ingest.objects import Objects
from services.ingest.options import CutOptions, Limits, RenditionKinds
from services.ingest.records import AssetRecord
from services.ingest.rendering import HAVE_PICTURES, Renderer
from services.ingest.rendition_store import RenditionStore
from services.ingest.renditions import THUMBNAIL
from services.ingest.segmenter import Segmenter
from services.ingest.spool import Part, PartState, Spool
from services.ingest.store import MediaStore
from services.runtime.errors import InvalidInput, NotFound, SensoriumError
from services.runtime.streams import iterate_in_thread

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

DECODER_THREADS = 32
"""Assets cut at once; those beyond wait in the spool. Most of them wait for bytes."""
DISK_THREADS = 8
SWEEP_INTERVAL_S = 3600.0
STOP_TIMEOUT_S = 5.0
_SEGMENTS_AHEAD = 4


@dataclass(frozen=True, slots=True)
class UploadState:
    """How far an upload is. ``expire_time_s`` (Unix time) is None for a committed asset."""

    durable_bytes: int
    expire_time_s: float | None


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the bytes are: on their way in, and for good. ``scratch`` is a local folder for what
    is being made; ``space`` is that in which assets are indexed."""

    spool: Spool
    objects: Objects
    scratch: Path
    space: str


class IngestEngine:
    """Takes bytes in and cuts them. One for each process."""

    def __init__(
        self,
        storage: Storage,
        limits: Limits,
        cut_options: CutOptions,
        rendition_kinds: RenditionKinds,
        links: Links,
    ) -> None:
        self.limits = limits
        self.cut_options = cut_options
        self.links = links
        self.spool = storage.spool
        self.store = MediaStore(storage.objects, storage.space)
        self.auditor = Auditor(self.store)
        self.segmenter = Segmenter(limits)
        self.renditions = RenditionStore(storage.objects)
        self.renderer = Renderer(
            self.store,
            self.renditions,
            limits,
            rendition_kinds,
            storage.scratch,
            self.on_disk,
        )
        self._disk = ThreadPoolExecutor(DISK_THREADS, "ingest-disk")
        self._decoders = ThreadPoolExecutor(DECODER_THREADS, "ingest-decode")
        self.uploads: set[asyncio.Task[None]] = set()
        """The uploads that run now."""
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def active_decoders(self) -> int:
        """How many assets are being cut now."""
        return self.segmenter.active_decoders

    @property
    def open_part_count(self) -> int:
        """How many uploads hold a part now."""
        return self.spool.open_count

    async def start(self) -> None:
        """Begin to throw away what nobody needs any more, and to make renditions.

        Raises Unavailable ``MEDIA_STORE_UNAVAILABLE``, naming the setting.
        """
        await self.on_disk(self.store.objects.check)
        self._sweeper = asyncio.create_task(self._sweep())
        await self.renderer.start()

    async def stop(self) -> None:
        """Wait for cancelled uploads to let go of their parts, then end the threads."""
        if self.uploads:
            await asyncio.wait(self.uploads, timeout=STOP_TIMEOUT_S)
        await self.renderer.stop()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait({self._sweeper})
        self._disk.shutdown(wait=False)
        self._decoders.shutdown(wait=False)

    async def _sweep(self) -> None:
        while True:
            await self.on_disk(self.spool.sweep)
            await self.on_disk(self.store.objects.sweep)
            try:
                await self.on_disk(self.auditor.collect_orphans)
            except (SensoriumError, OSError) as error:
                log.warning("could not collect orphans: %s", error)
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def on_disk(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in a thread. A cancellation waits until it is done.

        So nothing else touches the files of a part that a thread still writes.
        """
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._disk, partial(work, *args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await _ended(running)
            raise

    async def open_part(
        self, open_it: Callable[P, Part], *args: P.args, **kwargs: P.kwargs
    ) -> Part:
        """Open a part in a thread. A cancellation meanwhile closes it again.

        Otherwise nobody would, and the upload could not be resumed.
        """
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(self._disk, partial(open_it, *args, **kwargs))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await _ended(opening)
            if opening.exception() is None:
                await self.on_disk(opening.result().close)
            raise

    @contextlib.asynccontextmanager
    async def cutting(
        self, path: Path, growth: Growth, name: str, options: CutOptions, *, info_only: bool = False
    ) -> AsyncIterator[AsyncIterator[CutItem]]:
        """Cut a file in a thread that is free again when the block ends.

        Yields what :meth:`Segmenter.cut` yields.
        """
        cancel = Cancellation()
        work = self.segmenter.inspect if info_only else self.segmenter.cut
        items = iterate_in_thread(
            lambda: work(path, growth, cancel, name, options),
            cancel,
            self._decoders,
            _SEGMENTS_AHEAD,
        )
        async with contextlib.aclosing(items):
            yield items

    async def recut(
        self, tenant: str, asset_id: str, options: CutOptions
    ) -> AsyncGenerator[tuple[AssetRecord, CutItem], None]:
        """Cut a committed asset again: its record with the info, then with each segment.

        Raises:
            NotFound: ``ASSET_NOT_FOUND``.
        """
        record = await self.on_disk(self.store.get, tenant, asset_id)
        growth = Growth(record.size_bytes, complete=True)
        async with (
            self.stored_file(tenant, record) as path,
            self.cutting(path, growth, "", options) as items,
        ):
            async for item in items:
                yield record, item

    def stored_file(
        self, tenant: str, record: AssetRecord
    ) -> contextlib.AbstractAsyncContextManager[Path]:
        """The bytes of an asset as a local file; see ``local_file``."""
        return local_file(self.store, self.on_disk, tenant, record)

    async def thumbnail(self, tenant: str, asset_id: str, offset_s: float | None) -> bytes:
        """The thumbnail of a committed asset, a JPEG; made now where the background has not come
        to it.

        ``offset_s`` is a moment of a video; None means a frame that represents it, which is
        kept. Those of moments are not: there is no end to them.

        Raises:
            NotFound: ``ASSET_NOT_FOUND``.
            InvalidInput: ``NO_PICTURE`` or ``OFFSET_PAST_END``.
        """
        record = await self.on_disk(self.store.get, tenant, asset_id)
        if record.info.modality not in HAVE_PICTURES:
            raise InvalidInput(
                "NO_PICTURE", "Sound and text have no picture to show.", subject=asset_id
            )
        if record.info.modality is Modality.VIDEO and offset_s is not None:
            made = await self._shrink(tenant, record, offset_s)
            return made.picture
        kept = await self.on_disk(self.renditions.get, tenant, record.sha256, THUMBNAIL)
        if kept is not None:
            return kept
        made = await self._shrink(tenant, record, None)
        await self.on_disk(self._keep_thumbnail, tenant, record, made)
        return made.picture

    def _keep_thumbnail(self, tenant: str, record: AssetRecord, made: MadeRendition) -> None:
        with self.store.lock:
            # It may have been deleted meanwhile.
            self.store.get(tenant, record.asset_id)
            self.renditions.add(tenant, record.sha256, made)

    async def _shrink(
        self, tenant: str, record: AssetRecord, offset_s: float | None
    ) -> MadeRendition:
        growth = Growth(record.size_bytes, complete=True)
        cancel = Cancellation()
        async with self.stored_file(tenant, record) as path:
            made = iterate_in_thread(
                lambda: self.segmenter.thumbnail(path, growth, cancel, self.cut_options, offset_s),
                cancel,
                self._decoders,
            )
            async with contextlib.aclosing(made):
                return await anext(made)

    async def purge(self, tenant: str, asset_id: str) -> None:
        """Remove all that is left of a deleted asset, what an upload left of it too."""
        await self.on_disk(self.spool.drop, tenant, asset_id)
        await self.on_disk(self.store.purge, tenant, asset_id)

    async def check(
        self, tenant: str, *, deep: bool, repair: bool
    ) -> AsyncGenerator[Finding, None]:
        """All that is wrong with what is stored; see ``Auditor.check``."""
        findings = iterate_in_thread(
            lambda: self.auditor.check(tenant, deep=deep, repair=repair), Cancellation()
        )
        async with contextlib.aclosing(findings):
            async for finding in findings:
                yield finding

    async def upload_state(self, tenant: str, asset_id: str) -> UploadState:
        """How far an upload is. Raises NotFound ``UPLOAD_NOT_FOUND``."""
        record = await self.on_disk(self.store.find, tenant, asset_id)
        if record is not None:
            return UploadState(record.size_bytes, None)
        state: PartState | None = await self.on_disk(self.spool.state, tenant, asset_id)
        if state is None:
            raise NotFound(
                "UPLOAD_NOT_FOUND", "There is no such upload, or it has expired.", subject=asset_id
            )
        return UploadState(state.durable_bytes, state.expire_time_s)


async def _ended(work: "asyncio.Future[T]") -> None:
    """Wait for work in a thread, which cannot be stopped, however often the wait is cancelled.

    A part of an upload may fail, which cancels the rest, while its client goes away.
    """
    while not work.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({work})
    # What it failed with matters to nobody any more.
    work.exception()
