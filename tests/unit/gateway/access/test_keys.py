"""Keys: what is stored of them, and which of them open the door."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from services.gateway.access import key_check
from services.gateway.access.credentials import Credentials
from services.gateway.access.key_check import KeyCheck
from services.gateway.access.keys import KeyGrant, KeyRecord, KeyStore, grant_of
from services.gateway.access.principal import Principal
from services.gateway.access.scopes import Scope
from services.gateway.database.engine import Database
from services.runtime.errors import InvalidInput, NotFound, Unauthenticated, Unavailable
from services.runtime.priority import Priority
from tests.harness import make_settings
from tests.unit.gateway.access.conftest import Clock

GRANT = KeyGrant("acme", "ada", frozenset({Scope.ASK, Scope.READ}), Priority.BULK, "laptop")


class Lookups:
    """Counts how often the store is asked."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self.count = 0

    async def find(self, key_id: str) -> KeyRecord | None:
        self.count += 1
        return await self._store.find(key_id)


async def refusal(answer: Awaitable[Principal]) -> str:
    """The reason for which a credential is refused."""
    with pytest.raises(Unauthenticated) as refused:
        await answer
    return refused.value.reason


async def test_a_key_says_who_calls(store: KeyStore) -> None:
    record, key = await store.create(GRANT)
    principal = await KeyCheck(store.find).authenticate(key)
    assert principal == Principal("acme", "ada", GRANT.scopes, Priority.BULK, record.key_id)
    assert await store.list() == await store.list("acme") == [record]
    assert await store.list("other") == []


async def test_nothing_stored_or_shown_gives_the_key_away(store: KeyStore, tmp_path: Path) -> None:
    record, key = await store.create(GRANT)
    secret = key.rpartition("-")[2]
    stored = "\n".join(sqlite3.connect(tmp_path / "data/gateway.db").iterdump())
    assert record.key_id in stored
    assert secret not in stored
    assert secret not in repr(record)


@pytest.mark.parametrize(
    "forge",
    [
        lambda key: key[:-1] + ("0" if key[-1] != "0" else "1"),
        lambda key: "sk-sensorium-000000000000-" + key.rpartition("-")[2],
        lambda key: key + "0",
        lambda key: key[:-1],
        lambda key: key.upper(),
        lambda key: "x' OR '1'='1",
        lambda key: "sk-sensorium-",
    ],
)
async def test_what_is_no_key_is_unknown(store: KeyStore, forge: Callable[[str], str]) -> None:
    _, key = await store.create(GRANT)
    check = KeyCheck(store.find)
    await check.authenticate(key)
    assert await refusal(check.authenticate(forge(key))) == "KEY_UNKNOWN"


async def test_a_key_ends(store: KeyStore, clock: Clock) -> None:
    _, key = await store.create(KeyGrant("acme", expire_time_s=clock.now_s + 60))
    check = KeyCheck(store.find)
    clock.now_s += 59
    await check.authenticate(key)
    clock.now_s += 2
    assert await refusal(check.authenticate(key)) == "KEY_EXPIRED"


async def test_a_revoked_key_is_refused_once_its_record_is_looked_up_again(
    store: KeyStore, clock: Clock
) -> None:
    record, key = await store.create(GRANT)
    lookups = Lookups(store)
    check = KeyCheck(lookups.find)
    for _ in range(10):
        await check.authenticate(key)
    assert lookups.count == 1
    revoked = await store.revoke(record.key_id)
    assert revoked.revoke_time_s is not None
    # A second time changes nothing.
    assert await store.revoke(record.key_id) == revoked
    clock.now_s += key_check.LOOKUP_TTL_S
    assert await refusal(check.authenticate(key)) == "KEY_REVOKED"
    with pytest.raises(NotFound):
        await store.revoke("unknown")


async def test_calls_that_come_at_once_share_a_lookup(store: KeyStore) -> None:
    _, key = await store.create(GRANT)
    lookups = Lookups(store)
    check = KeyCheck(lookups.find)
    await asyncio.gather(*(check.authenticate(key) for _ in range(50)))
    assert lookups.count == 1


async def test_invented_ids_push_out_no_key(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_check, "KNOWN_MAX", 2)
    keys = [(await store.create(GRANT))[1] for _ in range(3)]
    lookups = Lookups(store)
    check = KeyCheck(lookups.find, ttl_s=3600)
    for key in keys:
        await check.authenticate(key)
    for number in range(20):
        invented = f"sk-sensorium-{number:012x}-{'0' * 64}"
        assert await refusal(check.authenticate(invented)) == "KEY_UNKNOWN"
    lookups.count = 0
    await check.authenticate(keys[1])
    await check.authenticate(keys[2])
    assert lookups.count == 0
    # The bound holds: the oldest was forgotten.
    await check.authenticate(keys[0])
    assert lookups.count == 1


async def test_without_the_database_nobody_is_let_in_or_called_unknown(tmp_path: Path) -> None:
    never_opened = Database(make_settings(tmp_path / "none"))
    check = KeyCheck(KeyStore(never_opened).find)
    with pytest.raises(Unavailable) as refused:
        await check.authenticate(f"sk-sensorium-{'0' * 12}-{'0' * 64}")
    assert refused.value.reason == "KEYS_UNAVAILABLE"
    assert refused.value.retry_after_s is not None
    await never_opened.close()


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "sk-sensorium-1-2", "bearer\tx"]
)
async def test_no_credential_is_told_from_a_wrong_one(store: KeyStore, authorization: str) -> None:
    credentials = Credentials(KeyCheck(store.find))
    assert await refusal(credentials.authenticate(authorization)) == "CREDENTIAL_MISSING"
    assert await refusal(credentials.authenticate("bearer nobody")) == "KEY_UNKNOWN"
    assert await refusal(credentials.authenticate("Bearer a.b.c")) == "TOKEN_REFUSED"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tenant_id": "acme", "scopes": ["ask", "everything"]}, "scopes"),
        ({"tenant_id": "acme", "priority": "first"}, "priority"),
        ({"tenant_id": "../other"}, "tenant"),
        ({"tenant_id": ""}, "tenant"),
        ({"tenant_id": "acme", "user_id": "a b"}, "user"),
        ({"tenant_id": "acme", "scopes": []}, "scopes"),
        ({"tenant_id": "acme", "name": "a\nb"}, "name"),
    ],
)
async def test_a_grant_that_makes_no_sense_is_refused(
    store: KeyStore, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await store.create(grant_of(fields))
    assert refused.value.subject == field
    assert await store.list() == []
