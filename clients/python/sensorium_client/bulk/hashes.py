"""SHA-256 of files, and a journal of them, so that unchanged files are not read again."""

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from sensorium_client.bulk.walk import FoundFile
from sensorium_client.media import file_sha256

_TABLE = """
CREATE TABLE IF NOT EXISTS files (
  path BLOB PRIMARY KEY, size_bytes INTEGER, modified_ns INTEGER, sha256 TEXT
)
"""


class Hashes:
    """Reads files to hash them."""

    async def sha256(self, file: FoundFile) -> str:
        """Of the bytes, lower-case hexadecimal. Raises OSError."""
        return await file_sha256(file.path)

    def forget(self, file: FoundFile) -> None:
        """What was known of a file is wrong."""


class JournalledHashes(Hashes):
    """Reads only files whose size or time of change is another than the journal's.

    That is what rsync goes by, too. The journal is a cache: losing it costs time.
    """

    def __init__(self, journal: sqlite3.Connection) -> None:
        self._journal = journal
        self._lock = threading.Lock()

    async def sha256(self, file: FoundFile) -> str:
        """Of the bytes, lower-case hexadecimal. Raises OSError."""
        known = await asyncio.to_thread(self._find, file)
        if known:
            return known
        sha256 = await super().sha256(file)
        await asyncio.to_thread(
            self._execute,
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
            (_key(file), file.size_bytes, file.modified_ns, sha256),
        )
        return sha256

    def forget(self, file: FoundFile) -> None:
        """What was known of a file is wrong."""
        self._execute("DELETE FROM files WHERE path = ?", (_key(file),))

    def _find(self, file: FoundFile) -> str:
        found = self._execute(
            "SELECT sha256 FROM files WHERE path = ? AND size_bytes = ? AND modified_ns = ?",
            (_key(file), file.size_bytes, file.modified_ns),
        )
        return found[0][0] if found else ""

    def _execute(self, statement: str, values: tuple[bytes | str | int, ...]) -> list[tuple[str]]:
        with self._lock:
            return self._journal.execute(statement, values).fetchall()


def _key(file: FoundFile) -> bytes:
    return os.fsencode(file.path.absolute())


@contextlib.contextmanager
def opened_hashes(journal: Path | None) -> Iterator[Hashes]:
    """Hashes with a journal in a file, made if it is not there, or with none.

    Raises:
        sqlite3.Error: the file cannot be opened, or is something else.
    """
    if journal is None:
        yield Hashes()
        return
    connection = sqlite3.connect(journal, isolation_level=None, check_same_thread=False)
    try:
        # A kill leaves it whole, and no row waits for the disk.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_TABLE)
        yield JournalledHashes(connection)
    finally:
        connection.close()
