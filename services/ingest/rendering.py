"""Renditions in the background: after the commit, and with time that nothing else wants."""

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from services.ingest.durable import make_folder
from services.ingest.growing import Cancellation, Growth
from services.ingest.model import Modality
from services.ingest.options import CutOptions, Limits, RenditionOptions
from services.ingest.rendition_store import RenditionStore
from services.ingest.segmenter import Segmenter
from services.ingest.store import AssetRecord, MediaStore
from services.runtime.errors import SensoriumError

log = logging.getLogger(__name__)

WAITING_MAX = 1000
"""Assets that wait their turn. Those beyond are found by looking through the store."""
HAVE_PICTURES = (Modality.IMAGE, Modality.VIDEO)
_PAGE_SIZE = 1000
_LEAST_PRIORITY = 19
_CUT_OPTIONS = CutOptions(thread_count=1)


class Renderer:
    """Makes the renditions of committed pictures and videos, one asset after another.

    What a crash or a shutdown left unmade is found at the next start; making it
    again is harmless. What cannot be made, because the bytes are damaged, is told
    in the log and not tried again.
    """

    def __init__(
        self,
        store: MediaStore,
        renditions: RenditionStore,
        limits: Limits,
        options: RenditionOptions,
        scratch: Path,
    ) -> None:
        self._store = store
        self._renditions = renditions
        self._options = options
        self._scratch = scratch
        # Of its own: a picture that is decoded slowly here must not hold up an upload.
        self._segmenter = Segmenter(limits, concurrent_images=1)
        self._thread = ThreadPoolExecutor(1, "ingest-render", initializer=_yield_to_others)
        self._waiting: asyncio.Queue[tuple[str, AssetRecord]] = asyncio.Queue(WAITING_MAX)
        self._has_missed = False
        self._is_stopping = False
        self._cancel = Cancellation()
        self._task: asyncio.Task[None] | None = None

    def submit(self, tenant: str, record: AssetRecord) -> None:
        """Have the renditions of a committed asset made, some time."""
        if record.info.modality in HAVE_PICTURES:
            try:
                self._waiting.put_nowait((tenant, record))
            except asyncio.QueueFull:
                self._has_missed = True

    async def start(self) -> None:
        """Begin, with what an earlier run left unmade."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop the decoder at its next read and wait for it."""
        self._is_stopping = True
        self._cancel.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self) -> None:
        await self._in_thread(self._prepare_scratch)
        await self._in_thread(self._catch_up)
        while True:
            tenant, record = await self._waiting.get()
            await self._in_thread(partial(self._make, tenant, record))
            if self._has_missed and self._waiting.empty():
                self._has_missed = False
                await self._in_thread(self._catch_up)

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """Run work to its end, whatever that is. A cancellation waits for it."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            await asyncio.wait({running})
            raise
        if (error := running.exception()) is not None:
            log.error("renditions could not be made", exc_info=error)

    # --- in the thread -------------------------------------------------------------------

    def _prepare_scratch(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        make_folder(self._scratch)

    def _catch_up(self) -> None:
        for tenant in self._store.tenants():
            page_token = ""
            while not self._is_stopping:
                records, page_token = self._store.list_newest(tenant, _PAGE_SIZE, page_token)
                for record in records:
                    if record.info.modality in HAVE_PICTURES and not record.duplicate_of:
                        self._make(tenant, record)
                if not page_token:
                    break

    def _make(self, tenant: str, record: AssetRecord) -> None:
        known = self._renditions.of(tenant, record.sha256)
        self._cancel = Cancellation()
        if self._is_stopping or self._options.is_met_by(known.recipe):
            return
        made = []
        try:
            with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
                items = self._segmenter.renditions(
                    self._store.blob_path(tenant, record.sha256),
                    Growth(record.size_bytes, complete=True),
                    self._cancel,
                    _CUT_OPTIONS,
                    Path(folder) / "video" if self._options.reencodes_video else None,
                )
                for item in items:
                    made.append(self._renditions.keep(tenant, record.sha256, item))
        except SensoriumError as error:
            log.warning("asset %s: not all renditions: %s", record.asset_id, error)
        except OSError as error:
            log.warning("asset %s: no renditions: %s", record.asset_id, error.strerror)
            return
        if self._cancel.is_set():
            return
        self._renditions.publish(tenant, record.sha256, made, self._options.recipe)
        if not self._store.find_by_sha256(tenant, [record.sha256]):
            # Deleted meanwhile.
            self._renditions.remove(tenant, record.sha256)


def _yield_to_others() -> None:
    """Let this thread, and those of its encoders, run when no other wants the processor."""
    if sys.platform == "linux":  # elsewhere threads have no priority of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LEAST_PRIORITY)
