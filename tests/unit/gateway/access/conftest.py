"""A database of its own for each test, and the keys in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.gateway.access.keys import KeyStore
from services.gateway.database.engine import Database
from tests.harness import make_settings


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[KeyStore]:
    database = Database(make_settings(tmp_path))
    await database.open()
    yield KeyStore(database)
    await database.close()
