"""The database of the gateway's own records: opened by many at once, and found missing in words."""

import asyncio
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sensorium.gateway.v1 import usage_pb2
from sqlalchemy import Connection, text

import services.gateway.stage  # noqa: F401 - all areas define their tables
from services.gateway.access.keys import KeyGrant, KeyStore
from services.gateway.access.scopes import Scope
from services.gateway.database.engine import Database, metadata
from services.gateway.metering.records import UsageLog, UsageRecord
from services.gateway.metering.report import UsageReport
from services.runtime.account import Usage
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput, Unavailable
from services.runtime.priority import Priority
from tests.databases import Postgres
from tests.harness import make_settings


async def test_many_gateways_open_a_new_database_at_once(url: str, tmp_path: Path) -> None:
    async def open_and_count() -> int:
        database = Database(make_settings(tmp_path, database_url=url))
        await database.open()
        async with database.transaction() as connection:
            counted = await connection.execute(text("SELECT count(*) FROM conversations"))
            count: int = counted.scalar_one()
        await database.close()
        return count

    # Each on an event loop of its own, as in a process of its own.
    opened = [asyncio.to_thread(asyncio.run, open_and_count()) for _ in range(6)]
    assert await asyncio.gather(*opened) == [0] * 6


async def test_two_databases_are_opened_at_once_by_one_process(tmp_path: Path) -> None:
    databases = [Database(make_settings(tmp_path / name)) for name in ("one", "other")]
    await asyncio.gather(*(database.open() for database in databases))
    for database in databases:
        async with database.transaction() as connection:
            await connection.execute(text("SELECT count(*) FROM conversations"))
        await database.close()


async def test_the_migrations_make_the_tables_that_the_code_defines(
    url: str, tmp_path: Path
) -> None:
    database = Database(make_settings(tmp_path, database_url=url))
    await database.open()

    def difference(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(difference) == []
    await database.close()


async def test_keys_and_usage_are_kept_in_either_database(url: str, tmp_path: Path) -> None:
    database = Database(make_settings(tmp_path, database_url=url))
    await database.open()
    keys, usage = KeyStore(database), UsageLog(database, days=1.0)
    everything = KeyGrant("acme", "u" * 128, frozenset(Scope), Priority.BULK, "n" * 128, 2e9)
    made, _ = await keys.create(everything)
    assert await keys.find(made.key_id) == made
    await keys.revoke(made.key_id)
    (revoked,) = await keys.list("acme")
    assert revoked.revoke_time_s
    report = UsageReport(database, usage, "EUR")
    for tenant_id, outcome in (("acme", "OK"), ("acme", "TOO_MANY_TURNS"), ("other", "OK")):
        used = Usage(2, 1, 3, 0.5, 1 << 40)
        usage.note(
            UsageRecord(tenant_id, "", made.key_id, "Ask", time.time(), 0.1, outcome, used, 7)
        )
    for grouping in (
        usage_pb2.USAGE_GROUPING_DAY,
        usage_pb2.USAGE_GROUPING_TENANT,
        usage_pb2.USAGE_GROUPING_CREDENTIAL,
    ):
        request = usage_pb2.GetUsageRequest(grouping=grouping)
        (total,) = (await report.get(CallScope("acme"), request)).totals
        assert (total.request_count, total.failed_count, total.cost_micros) == (2, 1, 14)
        assert total.media_bytes == 2 << 40
    await database.close()


async def test_a_server_that_vanished_is_noticed_as_soon_as_the_url_says(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    url = f"{postgres_server.new_database()}&keepalives_idle=77"
    database = Database(make_settings(tmp_path, database_url=url))
    async with database.engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection
        said = raw.driver_connection.info.get_parameters()
    assert (said["keepalives_idle"], said["tcp_user_timeout"]) == ("77", "10000")
    await database.close()


async def test_a_start_tells_no_news_of_migrations(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(make_settings(tmp_path))
    with caplog.at_level("INFO"):
        await database.open()
    await database.close()
    assert not [record for record in caplog.records if record.name.startswith("alembic")]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://sensorium:s3cret@127.0.0.1:1/records",
        "postgresql://sensorium@127.0.0.1:1/records?password=s3cret",
        "postgresql://sensorium:s3cret@nowhere.invalid/records",
        "sqlite:////nowhere/s3cret/records.db",
    ],
)
async def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    url: str, tmp_path: Path
) -> None:
    database = Database(make_settings(tmp_path, database_url=url))
    with pytest.raises(Unavailable) as error:
        await database.open()
    assert error.value.reason == "DATABASE_UNAVAILABLE"
    assert "SENSORIUM_DATABASE_URL" in error.value.message
    assert "s3cret" not in str(error.value)
    assert "\n" not in error.value.message
    await database.close()


@pytest.mark.parametrize("url", ["records.db", "mysql://s3cret@host/name", "nonsense://s3cret"])
def test_a_url_of_no_database_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as error:
        Database(make_settings(tmp_path, database_url=url))
    assert error.value.reason == "DATABASE_URL_INVALID"
    assert "s3cret" not in str(error.value)
