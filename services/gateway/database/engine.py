"""Opens the database and brings its tables up to date."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.runtime.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"
SQLITE_FILE = "gateway.db"
BUSY_TIMEOUT_MS = 10_000

metadata = MetaData()
"""All tables; each area (conversations, keys, usage) defines its own in it."""


class Database:
    """The engine of the settings' database; usable once ``open`` is done."""

    def __init__(self, settings: Settings) -> None:
        url = settings.database_url
        self._folder = None if url else settings.data_dir
        self.engine: AsyncEngine = create_async_engine(
            _async_url(url or f"sqlite:///{settings.data_dir / SQLITE_FILE}")
        )
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _durable_sqlite)

    async def open(self) -> None:
        """Create what is missing: file, tables, columns."""
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
        async with self.engine.begin() as connection:
            await connection.run_sync(_migrate)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def _async_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    driver = {"sqlite": "sqlite+aiosqlite", "postgres": "postgresql+psycopg"}
    driver["postgresql"] = driver["postgres"]
    return f"{driver.get(scheme, scheme)}://{rest}"


def _durable_sqlite(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    # Readers never wait for the writer, and what is committed survives a power cut.
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.close()


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    # Each area has a chain of its own.
    command.upgrade(config, "heads")
