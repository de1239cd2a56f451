"""Opens the database, brings its tables up to date, and tells when it cannot be reached."""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, MetaData, event, make_url, text
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services.gateway.database.patience import connect_options
from services.runtime.errors import InvalidInput, Unavailable
from services.runtime.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
SQLITE_FILE = "gateway.db"
BUSY_TIMEOUT_MS = 10_000
POOL_TIMEOUT_S = 5.0
RETRY_AFTER_S = 2.0
_SETTING = "SENSORIUM_DATABASE_URL"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
_MIGRATION_LOCK = 0x53454E53
"""Any number that is no one else's, for PostgreSQL's advisory lock."""

_migrating: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
    weakref.WeakKeyDictionary()
)

metadata = MetaData()
"""All tables; each area (conversations, keys, usage) defines its own in it."""


class Database:
    """The engine of the settings' database; usable once ``open`` is done.

    ``transaction`` is how to use it where its absence shall be a typed error.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidInput DATABASE_URL_INVALID."""
        self._folder = None if settings.database_url else settings.data_dir
        default = f"sqlite:///{settings.data_dir / SQLITE_FILE}"
        self._url = _parse(settings.database_url or default)
        self.engine = _engine(self._url)

    async def open(self) -> None:
        """Create what is missing: file, tables, columns. Raises Unavailable
        DATABASE_UNAVAILABLE; several servers may open one database at once."""
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
        # It waits for others that do the same, and large tables take their time.
        engine = _engine(self._url, patient=True)
        try:
            async with self._typed(), _alone(), engine.begin() as connection:
                await connection.run_sync(_migrate)
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose work is durable once the block has ended, or undone if it raised.

        Raises Unavailable DATABASE_UNAVAILABLE where the database does not answer in time, and
        then it is not known whether a commit under way was done.
        """
        async with self._typed(), self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _typed(self) -> AsyncIterator[None]:
        """Tells that the database does not answer in the words of this project."""
        try:
            yield
        # psycopg's own OSErrors come bare where a host cannot be resolved.
        except (OperationalError, InterfaceError, PoolTimeoutError, OSError) as error:
            logging.getLogger(__name__).warning(
                "the database does not answer (%s)", type(error).__name__
            )
            raise Unavailable(
                "DATABASE_UNAVAILABLE",
                f"The database of {_SETTING} cannot be reached: {_place(self._url)}.",
                subject=_SETTING,
                retry_after_s=RETRY_AFTER_S,
            ) from None

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _alone() -> asyncio.Lock:
    """Held by whoever migrates on this event loop: alembic keeps what it works on in the module,
    and between two statements another database may have its turn."""
    return _migrating.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _parse(url: str) -> URL:
    scheme, _, rest = url.partition("://")
    try:
        if scheme in _DRIVERS:
            return make_url(f"{_DRIVERS[scheme]}://{rest}")
    except ArgumentError:
        pass
    raise InvalidInput(
        "DATABASE_URL_INVALID",
        f"{_SETTING} must be postgresql://user@host/name or sqlite:///file.",
        subject=_SETTING,
    )


def _place(url: URL) -> str:
    """What a database is known by, without user and password."""
    if url.get_backend_name() == "sqlite":
        return "a file of SQLite"
    return f"{url.database or ''} at {url.host or url.query.get('host', 'localhost')}"


def _engine(url: URL, *, patient: bool = False) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url)
        event.listen(engine.sync_engine, "connect", _durable_sqlite)
        return engine
    return create_async_engine(
        url,
        # After its restart the first question does not pay for a connection that is dead.
        pool_pre_ping=True,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args=connect_options(url.query, patient=patient),
    )


def _durable_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # First, so that what follows waits for another process too.
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    # Readers never wait for the writer, and what is committed survives a power cut.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _migrate(connection: Connection) -> None:
    # One server after another: the second finds everything done.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    # It tells at each start which database it looks at.
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    # Each area has a chain of its own.
    command.upgrade(config, "heads")
