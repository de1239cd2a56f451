"""The server that a command starts for itself: it says why it cannot start, and never stays."""

import asyncio
import fcntl
import signal
import sys
from pathlib import Path

import pytest
from sensorium_client import Credentials
from sensorium_client.child_server import child_server
from sensorium_client.terminal import CommandError


async def test_locked_data_folder_is_said_in_the_servers_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENSORIUM_DATA_DIR", str(tmp_path))
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError) as caught:
            async with child_server(Credentials()):
                pass
    assert "Another server uses the same data folder." in caught.value.message
    assert "sensorium doctor" in caught.value.hint


_WATCHER = """
import multiprocessing, os, signal, sys
from sensorium_client.launcher import end_with_standard_input

end_with_standard_input(lambda: os.kill(os.getpid(), signal.SIGTERM))
child = multiprocessing.get_context("fork").Process(target=int)
child.start()
child.join()
print("forked", flush=True)
signal.pause()
"""


async def test_server_ends_when_its_command_is_gone_and_may_fork_meanwhile() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _WATCHER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"forked\n"
    # What the system does to the pipe when the command is killed.
    process.stdin.close()
    assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGTERM
