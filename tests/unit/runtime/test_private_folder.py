"""Folders for sockets: private, and not left behind."""

import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from services.runtime.private_folder import private_folder

HOLD = """
import sys
from services.runtime.private_folder import private_folder
with private_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    foreign = tmp_path / "sensorium-socket-of-another-kind"
    foreign.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        theirs = Path(other.stdout.readline().strip())
        with private_folder() as ours:
            assert theirs.is_dir()
            assert stat.S_IMODE(ours.stat().st_mode) == 0o700
        assert not ours.exists()
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert theirs.is_dir()
    with private_folder():
        assert not theirs.exists()
    assert foreign.is_dir()
