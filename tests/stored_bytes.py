"""What lies under a folder in which others still write and delete."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def stored(folder: Path) -> Iterator[tuple[Path, bytes | None]]:
    """All files with their bytes, and all folders with None, without those that go meanwhile."""
    for root, folders, files in os.walk(folder, onerror=_unless_gone):
        for name in folders:
            yield Path(root, name), None
        for name in files:
            path = Path(root, name)
            with contextlib.suppress(FileNotFoundError):
                yield path, path.read_bytes()


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
