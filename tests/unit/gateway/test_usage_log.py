"""Records of usage wait for a database that is not there, and go when they are old."""

from pathlib import Path

import pytest
from sqlalchemy import select

from services.gateway.database.engine import Database
from services.gateway.metering import records
from services.gateway.metering.records import UsageLog, UsageRecord
from services.gateway.metering.tables import usage_records
from services.runtime.account import Usage
from tests.harness import make_settings

DAY_S = 86_400.0
NOON_S = 1_790_000_000.0


def record(start_time_s: float = NOON_S, credential_id: str = "k") -> UsageRecord:
    used = Usage(prompt_token_count=3, media_s=1.5)
    return UsageRecord("acme", "ada", credential_id, "Ask", start_time_s, 0.1, "OK", used, 7)


async def written(database: Database) -> list[str]:
    async with database.transaction() as connection:
        return list(await connection.scalars(select(usage_records.c.credential_id)))


async def test_records_wait_for_the_database_and_are_written_once(tmp_path: Path) -> None:
    database = Database(make_settings(tmp_path))
    log = UsageLog(database, days=400)
    log.note(record(credential_id="first"))
    await log.flush()  # there is no file yet
    log.note(record(credential_id="second"))
    await database.open()
    await log.flush()
    await log.flush()
    assert await written(database) == ["first", "second"]
    await database.close()


async def test_when_too_many_wait_the_latest_are_lost_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(records, "UNWRITTEN_MAX", 2)
    database = Database(make_settings(tmp_path))
    await database.open()
    log = UsageLog(database, days=400)
    for name in ("first", "second", "third"):
        log.note(record(credential_id=name))
    await log.flush()
    assert await written(database) == ["first", "second"]
    assert "1 usage records are lost" in caplog.text
    await database.close()


async def test_what_is_older_than_the_days_kept_is_deleted(tmp_path: Path) -> None:
    database = Database(make_settings(tmp_path))
    await database.open()
    log = UsageLog(database, days=30, clock=lambda: NOON_S + 31 * DAY_S)
    log.note(record(NOON_S, "old"))
    log.note(record(NOON_S + 2 * DAY_S, "young"))
    await log.flush()
    await log.delete_old()
    assert await written(database) == ["young"]
    await database.close()
