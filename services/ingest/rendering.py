"""Renditions in the background: after the commit, and with time that nothing else wants."""

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from services.ingest.durable import make_folder
from services.ingest.local_file import OnDisk, local_file
from services.ingest.model import MadeRendition, Modality
from services.ingest.options import Limits, RenditionKinds
from services.ingest.records import AssetRecord
from services.ingest.render_job import RenderJob
from services.ingest.render_process import RenderProcess
from services.ingest.rendition_store import RenditionStore
from services.ingest.store import MediaStore
from services.runtime.errors import SensoriumError

log = logging.getLogger(__name__)

WAITING_MAX = 1000
"""Assets that wait their turn. Those beyond are found by looking through the store."""
HAVE_PICTURES = (Modality.IMAGE, Modality.VIDEO)
_PAGE_SIZE = 100
_IDLE_S = 60.0
"""After so long without work the process that does it ends, and gives its memory back."""


class Renderer:
    """Makes the renditions of committed pictures and videos, one asset after another.

    What a crash or a shutdown left unmade is found at the next start; making it
    again is harmless. What cannot be made, because the bytes are damaged, is told
    in the log and not tried again. ``on_disk`` runs blocking work in a thread.
    """

    def __init__(
        self,
        store: MediaStore,
        renditions: RenditionStore,
        limits: Limits,
        kinds: RenditionKinds,
        scratch: Path,
        on_disk: OnDisk,
    ) -> None:
        self._store = store
        self._renditions = renditions
        self._limits = limits
        self._kinds = kinds
        self._scratch = scratch
        self._on_disk = on_disk
        self._process = RenderProcess()
        self._waiting: asyncio.Queue[tuple[str, AssetRecord]] = asyncio.Queue(WAITING_MAX)
        self._has_missed = False
        self._task: asyncio.Task[None] | None = None

    def submit(self, tenant: str, record: AssetRecord) -> None:
        """Have the renditions of a committed asset made, some time."""
        if self._kinds is RenditionKinds.NONE or record.info.modality not in HAVE_PICTURES:
            return
        try:
            self._waiting.put_nowait((tenant, record))
        except asyncio.QueueFull:
            self._has_missed = True

    async def start(self) -> None:
        """Begin, with what an earlier run left unmade."""
        if self._kinds is not RenditionKinds.NONE:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(_tell_failure)

    async def stop(self) -> None:
        """Stop at once; what is being made is made at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._process.stop()

    async def _run(self) -> None:
        await self._on_disk(self._clear_scratch)
        self._has_missed = True
        while True:
            if self._has_missed and self._waiting.empty():
                self._has_missed = not await self._catch_up()
            tenant, record = await self._next()
            await self._make(tenant, record)

    async def _next(self) -> tuple[str, AssetRecord]:
        try:
            async with asyncio.timeout(_IDLE_S):
                return await self._waiting.get()
        except TimeoutError:
            await self._process.stop()
            return await self._waiting.get()

    async def _catch_up(self) -> bool:
        """Make what is missing of all that is stored; False where the store did not answer."""
        try:
            for tenant in await self._on_disk(self._store.tenants):
                async for record in self._records(tenant):
                    if record.info.modality in HAVE_PICTURES and not record.duplicate_of:
                        await self._make(tenant, record)
        except (SensoriumError, OSError) as error:
            log.warning("could not look for assets without renditions: %s", error)
            return False
        return True

    async def _records(self, tenant: str) -> AsyncIterator[AssetRecord]:
        page_token = ""
        while True:
            records, page_token = await self._on_disk(
                self._store.list_newest, tenant, _PAGE_SIZE, page_token
            )
            for record in records:
                yield record
            if not page_token:
                return

    async def _make(self, tenant: str, record: AssetRecord) -> None:
        try:
            known = await self._on_disk(self._renditions.of, tenant, record.sha256)
            if self._kinds.are_met_by(known.recipe):
                return
            async with (
                self._folder() as folder,
                local_file(self._store, self._on_disk, tenant, record) as source,
            ):
                job = RenderJob(
                    source=source,
                    size_bytes=record.size_bytes,
                    folder=folder,
                    reencodes_video=self._kinds is RenditionKinds.ALL,
                    limits=self._limits,
                )
                outcome = await self._process.run(job)
                if outcome.error:
                    log.warning("asset %s: not all renditions: %s", record.asset_id, outcome.error)
                await self._on_disk(self._adopt, tenant, record, outcome.made)
        except (SensoriumError, OSError) as error:
            log.warning("asset %s: no renditions: %s", record.asset_id, error)

    @contextlib.asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        """A folder for the files of one asset, while the block lasts."""
        folder = Path(await self._on_disk(tempfile.mkdtemp, dir=self._scratch))
        try:
            yield folder
        finally:
            await self._on_disk(shutil.rmtree, folder, ignore_errors=True)

    def _clear_scratch(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        make_folder(self._scratch)

    def _adopt(self, tenant: str, record: AssetRecord, made: Iterable[MadeRendition]) -> None:
        sha256 = record.sha256
        items = [self._renditions.keep(tenant, sha256, item) for item in made]
        self._renditions.publish(tenant, sha256, items, self._kinds.recipe)
        if not self._store.find_by_sha256(tenant, [sha256]):
            # Deleted meanwhile.
            self._renditions.remove(tenant, sha256)


def _tell_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("no more renditions are made until the next start", exc_info=error)
