"""Files that are old or new, whatever happens while they are written."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.ingest.durable import remove_folder, write_file

ROOM_BYTES = 100
# In a process of its own: the limit holds for all files of a process, its log included.
OVERFLOWS = f"""
import resource
import sys
from pathlib import Path
from services.ingest.durable import write_file

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, ({ROOM_BYTES}, hard))
try:
    write_file(Path(sys.argv[1]), bytes({2 * ROOM_BYTES}))
except OSError as error:
    print(error.strerror)
"""


def test_a_file_that_the_disk_has_no_room_for_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_file(path, b"old")
    done = subprocess.run(
        [sys.executable, "-c", OVERFLOWS, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "File too large"
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
