"""The upload session: bytes on their way in, on disk, hashed as they come, resumable.

A part is two files: ``<asset id>.part`` holds the bytes, ``<asset id>.json``
says how many of them have been synced. Everything here blocks: call it from a
worker thread, one call at a time for each part.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.ingest.durable import make_folder, sync_folder, write_all
from services.ingest.growing import Growth
from services.ingest.names import is_asset_id
from services.runtime.errors import OutOfOrder

SYNC_BYTES = 8 << 20
SYNC_INTERVAL_S = 1.0
REHASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PartState:
    """How far an interrupted or running upload got."""

    durable_bytes: int
    expire_time_s: float
    """Unix time when the part is thrown away."""


class Part:
    """The bytes of one upload, exclusively held by this object until closed."""

    def __init__(self, path: Path, state_path: Path | None, on_release: Callable[[], None]) -> None:
        self.path = path
        self.growth = Growth()
        self._state_path = state_path
        self._on_release = on_release
        self._hash = hashlib.sha256()
        self._descriptor = _open_locked(path)
        self._state_descriptor = -1
        self.received_bytes = 0
        self.durable_bytes = 0
        self._synced_at_s = time.monotonic()
        if state_path is not None:
            self._state_descriptor = os.open(state_path, os.O_RDWR | os.O_CREAT, 0o600)
            self._recover(_durable_bytes(state_path))
            sync_folder(path.parent)

    def _recover(self, durable_bytes: int) -> None:
        """Keep what was synced, drop what lies beyond it, hash it again."""
        durable_bytes = min(durable_bytes, os.fstat(self._descriptor).st_size)
        os.ftruncate(self._descriptor, durable_bytes)
        while self.received_bytes < durable_bytes:
            block = os.pread(self._descriptor, REHASH_BLOCK_BYTES, self.received_bytes)
            self._hash.update(block)
            self.received_bytes += len(block)
        self.durable_bytes = durable_bytes
        self._write_state()
        self.growth.advance(durable_bytes)

    def append(self, chunks: Sequence[bytes]) -> None:
        """Write the next bytes and hash them; sync when 8 MiB or a second have passed."""
        # As one: each call gives the interpreter away and has to get it back, which beside a
        # busy event loop takes longer than the copy.
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        write_all(self._descriptor, data, self.received_bytes)
        self.received_bytes += len(data)
        self._hash.update(data)
        self.growth.advance(self.received_bytes)
        if self._is_sync_due():
            self.sync()

    def _is_sync_due(self) -> bool:
        unsynced_bytes = self.received_bytes - self.durable_bytes
        waited_s = time.monotonic() - self._synced_at_s
        return unsynced_bytes >= SYNC_BYTES or (unsynced_bytes > 0 and waited_s >= SYNC_INTERVAL_S)

    def sync(self) -> None:
        """Make every byte received so far survive a crash. Nothing for a temporary part."""
        if self._state_path is None or self.durable_bytes == self.received_bytes:
            return
        os.fdatasync(self._descriptor)
        self.durable_bytes = self.received_bytes
        self._synced_at_s = time.monotonic()
        self._write_state()

    def _write_state(self) -> None:
        # Always the same length and far below a disk sector, so it is never torn.
        state = json.dumps({"durable_bytes": f"{self.durable_bytes:020d}"})
        os.pwrite(self._state_descriptor, state.encode(), 0)
        os.fdatasync(self._state_descriptor)

    def finish(self) -> str:
        """Sync, tell the readers that this is all; SHA-256 of the bytes in hexadecimal."""
        self.sync()
        self.growth.complete()
        return self._hash.hexdigest()

    def close(self) -> None:
        """Let go of the part, kept for a resume; one without bytes leaves nothing behind."""
        if self._descriptor < 0:
            return
        if self._state_path is None or self.received_bytes == 0:
            self.discard()
            return
        self.sync()
        self._release()

    def discard(self) -> None:
        """Throw the bytes away."""
        if self._descriptor < 0:
            return
        self.path.unlink(missing_ok=True)
        if self._state_path is not None:
            self._state_path.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        if self._state_descriptor >= 0:
            os.close(self._state_descriptor)
            self._state_descriptor = -1
        self._on_release()


class Spool:
    """All parts of all tenants, under one folder on the media store's file system."""

    def __init__(
        self, folder: Path, expiry_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._expiry_s = expiry_s
        self._clock = clock
        self._open_count = 0
        self._lock = threading.Lock()

    @property
    def open_count(self) -> int:
        """How many parts are held now."""
        return self._open_count

    def _count(self, change: int) -> None:
        with self._lock:
            self._open_count += change

    def _hold(self, path: Path, state_path: Path | None) -> Part:
        part = Part(path, state_path, lambda: self._count(-1))
        self._count(1)
        return part

    def open(self, tenant: str, asset_id: str) -> Part:
        """Open or resume the upload of an asset.

        Raises:
            OutOfOrder: ``UPLOAD_IN_PROGRESS`` when another stream holds it.
        """
        path = self._path(tenant, asset_id)
        make_folder(path.parent)
        if self.state(tenant, asset_id) is None:
            self._expire(path)
        return self._hold(path, path.with_suffix(".json"))

    def open_temporary(self, tenant: str) -> Part:
        """Room for bytes that are only decoded: never synced, gone when closed."""
        path = self._path(tenant, f".temporary-{uuid.uuid4().hex}")
        make_folder(path.parent)
        return self._hold(path, None)

    def state(self, tenant: str, asset_id: str) -> PartState | None:
        """How far an upload got; None when it is unknown or has expired."""
        if not is_asset_id(asset_id):
            return None
        state_path = self._path(tenant, asset_id).with_suffix(".json")
        try:
            updated_s = state_path.stat().st_mtime
        except FileNotFoundError:
            return None
        expire_time_s = updated_s + self._expiry_s
        if expire_time_s <= self._clock():
            return None
        return PartState(_durable_bytes(state_path), expire_time_s)

    def drop(self, tenant: str, asset_id: str) -> None:
        """Throw away what an upload left, unless a stream holds it."""
        if is_asset_id(asset_id):
            self._expire(self._path(tenant, asset_id))

    def sweep(self) -> int:
        """Throw away what has expired and what a dead process left; returns how many parts."""
        count = 0
        for path in self._folder.glob("*/*.part"):
            with contextlib.suppress(FileNotFoundError):
                state_path = path.with_suffix(".json")
                dated = state_path if state_path.exists() else path
                if dated.stat().st_mtime + self._expiry_s <= self._clock():
                    count += self._expire(path)
        return count

    def _expire(self, path: Path) -> int:
        if not path.exists():
            return 0
        try:
            descriptor = _open_locked(path)
        except OutOfOrder:
            return 0  # somebody is still writing to it
        path.unlink(missing_ok=True)
        path.with_suffix(".json").unlink(missing_ok=True)
        os.close(descriptor)
        return 1

    def _path(self, tenant: str, asset_id: str) -> Path:
        return self._folder / tenant / f"{asset_id}.part"


def _open_locked(path: Path) -> int:
    """Open a part and hold it alone; flock excludes other streams and other processes alike."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise OutOfOrder(
                "UPLOAD_IN_PROGRESS",
                "Another stream is uploading this asset; wait for it or use another asset id.",
                subject="asset_id",
                retry_after_s=1.0,
            ) from None
        # The holder before us may have unlinked the file between our open and our lock.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        os.close(descriptor)


def _durable_bytes(state_path: Path) -> int:
    """What the state file says; 0 where it says nothing readable."""
    try:
        return int(json.loads(state_path.read_bytes())["durable_bytes"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0
