"""Which one process writes the index: a lease that lies beside its tables.

One lease covers all tables of an index. On a local disk it is the kernel's lock
on a file: it costs nothing while it is held, ends with its process however that
ends, and rests on no clock. ``object_lease.py`` has the one for object stores.
"""

import asyncio
import contextlib
import fcntl
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.runtime.errors import Unavailable

LEASE_FILE = "writer.lease"

_CONTENT_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Another process, which holds the lease."""

    address: str
    """host:port of its search service; empty while it has not told."""
    retry_after_s: float
    """Should it be gone: the lease can be had after so long."""


def writer_changed(retry_after_s: float = 1.0) -> Unavailable:
    """A write came to a process that does not hold the lease, or not any more."""
    return Unavailable(
        "INDEX_WRITER_CHANGED",
        "Another process writes the index now; try again.",
        retry_after_s=retry_after_s,
    )


class Lease(Protocol):
    """Held by at most one process at a time, wherever it runs."""

    @property
    def epoch(self) -> int:
        """Grows each time that the lease changes hands."""

    def remaining_s(self) -> float:
        """For how long this process may still commit; 0 where it does not hold the
        lease. Looks at no disk and no network: it is asked before each commit."""

    async def acquire(self) -> Holder | None:
        """Takes the lease where it can be had. None: it is this process's; else who
        holds it. Returns at once where it is held already. Raises Unavailable
        INDEX_UNREACHABLE."""

    async def lapsed(self, holder: Holder) -> None:
        """Returns when another holder has lost the lease. Until then it waits."""

    async def release(self) -> None:
        """Lets go of it. The next one need not wait."""


class FolderLease:
    """The lease of an index in a folder on a local disk; ``address`` is the
    host:port of this process's search service."""

    def __init__(self, folder: Path, address: str) -> None:
        self._path = folder / LEASE_FILE
        self._address = address
        self._descriptor: int | None = None
        self._epoch = 0
        self._acquiring = asyncio.Lock()

    @property
    def epoch(self) -> int:
        """See ``Lease``."""
        return self._epoch

    def remaining_s(self) -> float:
        """See ``Lease``: without end, or 0."""
        return 0.0 if self._descriptor is None else math.inf

    async def acquire(self) -> Holder | None:
        """See ``Lease``."""
        # The kernel would keep two calls of this process from each other too.
        async with self._acquiring:
            if self._descriptor is not None:
                return None
            return await asyncio.to_thread(self._lock)

    async def lapsed(self, holder: Holder) -> None:
        """See ``Lease``. Never: it is lost with its process, whose connections tell."""
        await asyncio.get_running_loop().create_future()

    async def release(self) -> None:
        """See ``Lease``."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self) -> Holder | None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                # Empty for the moment between its lock and its writing of it.
                address, _ = _read(descriptor)
                return Holder(address, retry_after_s=1.0)
            finally:
                os.close(descriptor)
        _, epoch = _read(descriptor)
        self._epoch = epoch + 1
        os.ftruncate(descriptor, 0)
        content = json.dumps({"address": self._address, "epoch": self._epoch, "pid": os.getpid()})
        os.pwrite(descriptor, content.encode(), 0)
        self._descriptor = descriptor
        return None


def _read(descriptor: int) -> tuple[str, int]:
    with contextlib.suppress(ValueError):
        content = json.loads(os.pread(descriptor, _CONTENT_BYTES_MAX, 0))
        return content["address"], content["epoch"]
    return "", 0
