"""Files that are old or new, whatever happens while they are written."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.ingest.durable import remove_folder, write_file

ROOM_BYTES = 100


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file can grow past :data:`ROOM_BYTES`: a write stops short there, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("full_disk")
def test_a_file_that_the_disk_has_no_room_for_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_file(path, b"old")
    with pytest.raises(OSError, match="too large"):
        write_file(path, bytes(2 * ROOM_BYTES))
    assert path.read_bytes() == b"old"


def test_a_folder_goes_with_what_is_written_there_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "renditions"
    write_file(folder / "thumbnail", b"jpeg")
    remove = os.rmdir

    def write_first(*args: Any, **options: Any) -> None:
        monkeypatch.setattr(os, "rmdir", remove)
        write_file(folder / "web", b"jpeg")
        remove(*args, **options)

    monkeypatch.setattr(os, "rmdir", write_first)
    remove_folder(folder)
    assert not folder.exists()
