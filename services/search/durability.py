"""Makes a local folder survive a loss of power.

LanceDB does not sync what it writes: an acknowledged row survives a kill, but
not a power cut. So the writer syncs the new files of a table and their folders
before it acknowledges.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SYNC_THREADS = 4

_Stamp = tuple[int, int, int]


class FolderSync:
    """Syncs what changed in a folder since the last time. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._synced: dict[str, _Stamp] = {}
        # The file system commits syncs that wait together in one go.
        self._pool = ThreadPoolExecutor(SYNC_THREADS, thread_name_prefix="search-sync")

    def sync(self) -> int:
        """Syncs new and changed files, then the folders whose entries changed.
        The first call syncs everything: what a crashed process wrote may not be
        durable. Returns how many files and folders were synced. A file that a
        clean-up removed in the meantime is passed over."""
        files: dict[str, _Stamp] = {}
        folders: dict[str, _Stamp] = {}
        for folder, _, names in os.walk(self._folder):
            _note(folder, folders)
            for name in names:
                _note(os.path.join(folder, name), files)  # noqa: PTH118 - thousands of paths
        changed_files = self._changed(files)
        changed_folders = self._changed(folders)
        if not self._synced:
            # The folder of the index, and the one that got it as a new entry.
            changed_folders.extend(str(parent) for parent in self._folder.parents[:2])
        # Files first: a folder's entry must point to what is there.
        for paths in (changed_files, changed_folders):
            list(self._pool.map(_fsync, paths))
        self._synced = files | folders
        return len(changed_files) + len(changed_folders)

    def close(self) -> None:
        """Frees the threads."""
        self._pool.shutdown()

    def _changed(self, found: dict[str, _Stamp]) -> list[str]:
        return [path for path, stamp in found.items() if self._synced.get(path) != stamp]


def _note(path: str, found: dict[str, _Stamp]) -> None:
    try:
        status = os.stat(path)  # noqa: PTH116 - a string walks faster than a Path
    except FileNotFoundError:
        return
    found[path] = (status.st_ino, status.st_size, status.st_mtime_ns)


def _fsync(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
