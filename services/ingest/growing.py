"""A file that is read by a decoder while it is still being written by an upload."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from services.runtime.errors import SensoriumError, Unavailable

STALL_LIMIT_S = 120.0
"""A decoder gives its thread back when no byte came for so long; the part stays resumable."""


class Cancelled(Exception):
    """Raised out of a read when nobody wants the result any more."""


class Cancellation(threading.Event):
    """An event that, when set, also wakes the readers that wait for bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._wakers: list[Callable[[], None]] = []

    def on_set(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the event is set."""
        self._wakers.append(wake)

    def set(self) -> None:
        """Set the event and wake everyone."""
        super().set()
        for wake in self._wakers:
            wake()


class Growth:
    """How much of a file is there. Written by one thread, awaited by others."""

    def __init__(self, size_bytes: int = 0, complete: bool = False) -> None:
        self._changed = threading.Condition()
        self._size_bytes = size_bytes
        self._complete = complete

    @property
    def size_bytes(self) -> int:
        """Bytes that can be read now."""
        return self._size_bytes

    def advance(self, size_bytes: int) -> None:
        """So many bytes are there now."""
        with self._changed:
            self._size_bytes = size_bytes
            self._changed.notify_all()

    def complete(self) -> None:
        """No more bytes will come."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Make the waiting readers look at their cancellation."""
        with self._changed:
            self._changed.notify_all()

    def wait_beyond(self, offset: int, cancel: threading.Event) -> int:
        """Wait until there are bytes past ``offset``, or no more will come.

        Returns the bytes past the offset, 0 at the end.

        Raises:
            Cancelled: when ``cancel`` is set.
            Unavailable: ``UPLOAD_STALLED`` when nothing comes for
                :data:`STALL_LIMIT_S`.
        """
        deadline_s = time.monotonic() + STALL_LIMIT_S
        with self._changed:
            while True:
                if cancel.is_set():
                    raise Cancelled
                if self._complete or self._size_bytes > offset:
                    return max(0, self._size_bytes - offset)
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise Unavailable(
                        "UPLOAD_STALLED",
                        "No bytes came for too long; resume the upload.",
                        retry_after_s=1.0,
                    )
                self._changed.wait(left_s)

    def wait_complete(self, cancel: threading.Event) -> int:
        """Wait for the last byte. Returns the size; raises as :meth:`wait_beyond`."""
        size_bytes = self.size_bytes
        while self.wait_beyond(size_bytes, cancel):
            size_bytes = self.size_bytes
        return size_bytes


class GrowingFile:
    """A read-only binary file whose reads wait for the bytes to arrive.

    It has no ``name``: libavformat would take one for an address. ``failure``
    keeps the error that a read raised, because a decoder in between may turn
    it into one of its own.
    """

    def __init__(self, path: Path, growth: Growth, cancel: Cancellation) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        self._growth = growth
        self._cancel = cancel
        self._position = 0
        self.failure: Cancelled | SensoriumError | None = None
        cancel.on_set(growth.wake)

    def release(self) -> None:
        """Close the descriptor. (Not ``close``: decoders would call it.)"""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def seekable(self) -> bool:
        """Always true; see :class:`SequentialView`."""
        return True

    def readable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """Position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; from the end only once the last byte is there."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self.wait_complete()
        self._position = max(0, offset)
        return self._position

    def read(self, size_bytes: int = -1) -> bytes:
        """Up to ``size_bytes`` bytes, at least one unless the file ends here; all for -1.

        Raises:
            Cancelled: when the cancellation is set, also while waiting.
            Unavailable: ``UPLOAD_STALLED``.
        """
        if size_bytes < 0:
            size_bytes = max(0, self.wait_complete() - self._position)
        if size_bytes == 0:
            return b""
        try:
            available_bytes = self._growth.wait_beyond(self._position, self._cancel)
        except (Cancelled, SensoriumError) as error:
            self.failure = error
            raise
        data = os.pread(self._descriptor, min(size_bytes, available_bytes), self._position)
        self._position += len(data)
        return data

    def read_exactly(self, size_bytes: int) -> bytes:
        """``size_bytes`` bytes, fewer only at the end of the file."""
        parts: list[bytes] = []
        while size_bytes > 0:
            part = self.read(size_bytes)
            if not part:
                break
            parts.append(part)
            size_bytes -= len(part)
        return b"".join(parts)

    def wait_complete(self) -> int:
        """Wait for the last byte; the size of the file. Raises as :meth:`read`."""
        try:
            return self._growth.wait_complete(self._cancel)
        except (Cancelled, SensoriumError) as error:
            self.failure = error
            raise


class SequentialView:
    """The same file for a decoder that must not seek: ``read`` and nothing else."""

    def __init__(self, file: GrowingFile) -> None:
        self._file = file

    def read(self, size_bytes: int) -> bytes:
        """As :meth:`GrowingFile.read`."""
        return self._file.read(size_bytes)


class WholeReads:
    """The same file for a decoder that takes a short read for the end of the file: each read
    waits for all its bytes."""

    def __init__(self, file: GrowingFile) -> None:
        self._file = file

    def read(self, size_bytes: int = -1) -> bytes:
        """``size_bytes`` bytes, fewer only at the end; raises as :meth:`GrowingFile.read`."""
        if size_bytes < 0:
            return self._file.read()
        return self._file.read_exactly(size_bytes)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As :meth:`GrowingFile.seek`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As :meth:`GrowingFile.tell`."""
        return self._file.tell()
