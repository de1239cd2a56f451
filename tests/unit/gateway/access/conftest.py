"""A database of its own for each test, and the keys in it; a clock for what is remembered."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.access.keys import KeyStore
from services.gateway.database.engine import Database
from tests.harness import make_settings


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = time.time()

    def time(self) -> float:
        """Seconds since 1970."""
        return self.now_s

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """By which keys and what is read of them grow old."""
    clock = Clock()
    for module in ("key_check", "jwks"):
        monkeypatch.setattr(f"services.gateway.access.{module}.time", clock)
    return clock


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[KeyStore]:
    database = Database(make_settings(tmp_path))
    await database.open()
    yield KeyStore(database)
    await database.close()
