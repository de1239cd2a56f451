"""Folders for sockets that only this user reaches, gone even after a kill."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "sensorium-socket-"
HELD = "held"
"""A file that is locked for as long as its folder is in use."""


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder of mode 0700 until the block ends; those that killed processes left go first."""
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        made = folder / "new"
        with made.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            # Whoever sweeps sees it with its lock, or not at all.
            made.rename(folder / HELD)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        # Another's, or one that its process removes or is about to make, is not ours to judge.
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != os.getuid():
                continue
            with (folder / HELD).open("r+") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
