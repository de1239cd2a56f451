"""The database: one table of documents for each space of vectors."""

import asyncio
import functools
import importlib
import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from services.runtime.errors import InvalidInput, Unavailable
from services.search.indexes import DISTANCE, SCALAR_KINDS, Index, ScalarKind
from services.search.schema import ADDED_FIELDS, TEXT, VECTOR, dimension_of, table_schema

log = logging.getLogger(__name__)

# Bounded: without a session of its own each table's caches grow to gigabytes. The
# index on the vectors of 500,000 rows takes 33 MB.
INDEX_CACHE_BYTES = 64 << 20
METADATA_CACHE_BYTES = 16 << 20

# What LanceDB raises, whose own types all derive from built-in ones, and its storage.
DATABASE_ERRORS = (RuntimeError, OSError, ValueError, TypeError, KeyError, BaseError)

_PREFIX = "documents-"
_SPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PAGE_COUNT = 100

# LanceDB has no stubs.
AsyncTable = Any


class Tables:
    """Opens tables and keeps them open. ``place`` is a folder on a local disk or the
    URL of a prefix in an object store."""

    def __init__(self, place: Path | str) -> None:
        self.place = place
        self._connection: Any = None
        self._writing: Any = None
        self._open: dict[str, AsyncTable] = {}
        self._dimensions: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def connect(self) -> None:
        """Opens the database and the tables in it. Raises Unavailable INDEX_UNREACHABLE."""
        # Not at import: it takes a second that other stages need not spend.
        lancedb = await asyncio.to_thread(importlib.import_module, "lancedb")
        if isinstance(self.place, Path):
            await asyncio.to_thread(self.place.mkdir, parents=True, exist_ok=True)
        try:
            await self._connect(lancedb)
        except DATABASE_ERRORS as error:
            log.exception("the index cannot be opened")
            raise Unavailable(
                "INDEX_UNREACHABLE",
                "The index cannot be opened: see the log, and whether the folder or bucket of "
                "SENSORIUM_INDEX_URL is there and the AWS_* variables let it be read and written.",
                subject="SENSORIUM_INDEX_URL",
            ) from error

    async def _connect(self, lancedb: Any) -> None:
        session = lancedb.Session(
            index_cache_size_bytes=INDEX_CACHE_BYTES,
            metadata_cache_size_bytes=METADATA_CACHE_BYTES,
        )
        # Of an object store the library reads the usual AWS_* variables itself.
        connect = functools.partial(lancedb.connect_async, str(self.place), session=session)
        # Every read sees what another process has committed.
        self._connection = await connect(read_consistency_interval=timedelta(0))
        self._writing = await connect()
        for space in await self.spaces():
            await self.find(space)

    def close(self) -> None:
        """Closes all tables."""
        for table in self._open.values():
            table.close()
        self._open = {}
        for connection in (self._connection, self._writing):
            if connection is not None:
                connection.close()

    def path(self, space: str) -> Path | None:
        """The folder of a space's table; None on an object store."""
        if not isinstance(self.place, Path):
            return None
        return self.place / f"{_table_name(space)}.lance"

    async def spaces(self) -> list[str]:
        """The spaces that have a table, sorted."""
        names: list[str] = []
        page: str | None = None
        while True:
            answer = await self._connection.list_tables(page_token=page, limit=_PAGE_COUNT)
            names.extend(answer.tables)
            page = answer.page_token
            if not page:
                break
        return sorted(n.removeprefix(_PREFIX) for n in names if n.startswith(_PREFIX))

    async def find(self, space: str) -> AsyncTable | None:
        """The table of a space; None while nothing was indexed in it. Raises
        InvalidInput SPACE_INVALID."""
        name = _table_name(space)
        if space in self._open:
            return self._open[space]
        async with self._lock:
            if space not in self._open:
                if space not in await self.spaces():
                    return None
                try:
                    table = await self._connection.open_table(name)
                except ValueError as error:
                    # Listed as soon as its first file is there, but not made yet, or never:
                    # its maker may have been killed.
                    if "was not found" not in str(error):
                        raise
                    return None
                await self._keep(space, table)
        return self._open[space]

    async def open_to_write(self, space: str) -> AsyncTable:
        """A handle of the writer's own on the table of a space, which is there. It builds
        on the version that it last saw; ``checkout_latest`` brings it to the newest."""
        return await self._writing.open_table(_table_name(space))

    async def find_or_create(self, space: str, dimension: int) -> AsyncTable:
        """The table of a space, made if there is none; two calls at once, in
        whatever processes, get the same. Only the writer calls this."""
        found = await self.find(space)
        if found is not None:
            return found
        async with self._lock:
            table = await self._connection.create_table(
                _table_name(space), schema=table_schema(dimension), exist_ok=True
            )
            await self._ensure_text_index(table)
            await self._keep(space, table)
        return table

    async def upgrade(self, space: str) -> None:
        """Adds what a table of an earlier version lacks, and the full text index where
        a crash came between table and index. Only the writer calls this."""
        table = await self.find(space)
        if table is not None:
            known = (await table.schema()).names
            missing = [field for field in ADDED_FIELDS if field.name not in known]
            if missing:
                await table.add_columns(missing)
            await self._ensure_text_index(table)

    async def fragments_with_deletions(self, space: str) -> set[int]:
        """The fragments of a table in whose files are rows that were deleted or replaced;
        with them some that only old versions have."""
        fragments: set[int] = set()
        folder = f"{_table_name(space)}.lance/_deletions"
        async for page in obstore.list(self._store(), prefix=folder):
            # Each file is named by the number of its fragment, then its version.
            names = [each["path"].rpartition("/")[2] for each in page]
            fragments.update(int(name.partition("-")[0]) for name in names)
        return fragments

    def dimension(self, space: str) -> int | None:
        """How many numbers the vectors of a space have; None if it has no table."""
        return self._dimensions.get(space)

    def _store(self) -> ObjectStore:
        return LocalStore(self.place) if isinstance(self.place, Path) else from_url(self.place)

    async def _keep(self, space: str, table: AsyncTable) -> None:
        self._dimensions[space] = dimension_of(await table.schema())
        self._open[space] = table

    async def _ensure_text_index(self, table: AsyncTable) -> None:
        from lancedb.index import FTS

        for tries_left in (2, 1, 0):
            if await _has_text_index(table):
                return
            try:
                # Rows that come after are searched by a scan until the next optimize.
                await table.create_index(TEXT, config=FTS(with_position=False))
            except RuntimeError:
                # Another process may have made the table or the index in the same moment.
                if not tries_left:
                    raise
                await table.checkout_latest()


async def indexes_of(table: AsyncTable) -> list[Index]:
    """The indexes of a table; a rebuilt one may be there twice for a moment."""
    return [Index(each.name, each.columns[0]) for each in await table.list_indices()]


async def build_index(table: AsyncTable, index: Index) -> None:
    """Builds an index, in place of one of the same name."""
    from lancedb.index import Bitmap, BTree, IvfRq, LabelList

    config: Any
    if index.column == VECTOR:
        config = IvfRq(distance_type=DISTANCE, num_partitions=index.partition_count)
    else:
        configs = {
            ScalarKind.BITMAP: Bitmap,
            ScalarKind.BTREE: BTree,
            ScalarKind.LABEL_LIST: LabelList,
        }
        config = configs[SCALAR_KINDS[index.column]]()
    await table.create_index(index.column, config=config, name=index.name)


async def _has_text_index(table: AsyncTable) -> bool:
    return any(index.column == TEXT for index in await indexes_of(table))


def check_space(space: str) -> None:
    """Raises InvalidInput SPACE_INVALID unless it can name a table."""
    if not _SPACE.fullmatch(space):
        raise InvalidInput(
            "SPACE_INVALID",
            "A space is named by 1 to 64 letters, digits, hyphens and underscores.",
            subject="config.space",
        )


def _table_name(space: str) -> str:
    check_space(space)
    return _PREFIX + space
