"""Local copies of objects that lie elsewhere, for decoders, which need a file."""

import contextlib
import hashlib
import shutil
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

KEPT_S = 3600.0
"""A copy that nobody used for so long is dropped."""


class FetchedFiles:
    """The least recently used copies go when all together are larger than ``capacity_bytes``.

    One that is in use stays, so that the last of large files can be past the bound.
    Everything here blocks. Thread-safe.
    """

    def __init__(
        self, folder: Path, capacity_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._capacity_bytes = capacity_bytes
        self._clock = clock
        self._used_s: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._holders: Counter[str] = Counter()
        self._lock = threading.Lock()
        # Of an earlier process, which may not have been told of deletions since.
        shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def file(self, key: str, fetch: Callable[[str, Path], None]) -> Iterator[Path]:
        """The copy of an object, fetched unless it is here; it stays while the block lasts."""
        path = self._path(key)
        with self._lock:
            self._holders[key] += 1
        try:
            if not path.exists():
                self._fetch(key, path, fetch)
            with self._lock:
                self._used_s[key] = self._clock()
                self._sizes[key] = path.stat().st_size
            self._shrink()
            yield path
        finally:
            with self._lock:
                self._holders[key] -= 1

    def forget(self, key: str) -> None:
        """Drops the copy of a deleted object. Whoever has it open reads on."""
        with self._lock:
            self._drop(key)

    def sweep(self) -> None:
        """Drops what was not used for :data:`KEPT_S`."""
        with self._lock:
            for key, used_s in list(self._used_s.items()):
                if used_s + KEPT_S <= self._clock() and not self._holders[key]:
                    self._drop(key)

    def _fetch(self, key: str, path: Path, fetch: Callable[[str, Path], None]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            fetch(key, draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _shrink(self) -> None:
        with self._lock:
            for key in sorted(self._used_s, key=self._used_s.__getitem__):
                if sum(self._sizes.values()) <= self._capacity_bytes:
                    return
                if not self._holders[key]:
                    self._drop(key)

    def _drop(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)
        self._used_s.pop(key, None)
        self._sizes.pop(key, None)

    def _path(self, key: str) -> Path:
        # Keys hold slashes; and nothing of a deleted asset's name stays in a name here.
        return self._folder / hashlib.sha256(key.encode()).hexdigest()
