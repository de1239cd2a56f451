"""Results kept by what they were made from: memory first, then Redis; equal work runs once.

A cache only ever saves time. A dead, slow or lying Redis is a miss. Results know
whose they are: with an asset goes what was made from it.
"""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.runtime.telemetry import metrics

_log = logging.getLogger(__name__)

# Seconds that a result stays in Redis, by the modality it was made from.
TTL_S = {"image": 3600, "video": 7200, "audio": 3600, "text": 1800}

_SIGNATURE_BYTES = 16
_BACKGROUND_WRITES_MAX = 256


def cache_key(*parts: str | bytes) -> str:
    """One key of many parts (tenant, payload, transform, model digest); no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return f"sensorium:1:{digest.hexdigest()}"


class RemoteTier(Protocol):
    """A second tier shared between processes. No method raises."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""

    def put(self, key: str, value: bytes, ttl_s: int, *owners: str) -> None:
        """Stores a value some time soon, if it can."""

    async def forget(self, owner: str) -> None:
        """Drops the values of an owner, if it can."""

    async def close(self) -> None:
        """Frees its connections."""


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Patience with Redis: it must never cost more than the work it saves."""

    timeout_s: float = 0.25
    failures_to_open: int = 3
    """Failures in a row after which it is left alone."""
    open_s: float = 5.0
    """How long it is left alone; then one request tries again."""


class CircuitBreaker:
    """Leaves a failing peer alone for a while; then lets one call try it again."""

    def __init__(self, failures_to_open: int, open_s: float, clock: Callable[[], float]) -> None:
        self._failures_to_open = failures_to_open
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0

    def allows(self) -> bool:
        """Whether a call may be made now."""
        if self._failures < self._failures_to_open:
            return True
        if self._clock() < self._retry_at:
            return False
        self._retry_at = self._clock() + self._open_s
        return True

    def succeeded(self) -> None:
        """The peer answered."""
        self._failures = 0

    def failed(self) -> bool:
        """The peer did not answer. Returns whether it is left alone from now on."""
        self._failures += 1
        self._retry_at = self._clock() + self._open_s
        return self._failures == self._failures_to_open


def connection_pool(url: str, options: RedisOptions) -> redis.BlockingConnectionPool:
    """Connections to Redis that give up soon."""
    # Blocking: a burst of lookups queues for a connection instead of failing.
    return redis.BlockingConnectionPool.from_url(
        url,
        max_connections=16,
        timeout=options.timeout_s,
        socket_timeout=options.timeout_s,
        socket_connect_timeout=options.timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


class RedisTier:
    """Redis as the second tier. Every value carries a digest, so a torn one is a miss."""

    def __init__(
        self,
        url: str,
        options: RedisOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        options = options or RedisOptions()
        self._client = redis.Redis.from_pool(connection_pool(url, options))
        self._breaker = CircuitBreaker(options.failures_to_open, options.open_s, clock)
        self._writes: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> bytes | None:
        """The value, or None where it is absent, torn, or Redis does not answer in time."""
        if not self._breaker.allows():
            return None
        try:
            stored = await self._client.get(key)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            return None
        self._breaker.succeeded()
        return _unsigned(stored) if isinstance(stored, bytes) else None

    def put(self, key: str, value: bytes, ttl_s: int, *owners: str) -> None:
        """Stores in the background; gives up silently where too many writes wait already."""
        if len(self._writes) >= _BACKGROUND_WRITES_MAX or not self._breaker.allows():
            return
        task = asyncio.get_running_loop().create_task(self._store(key, value, ttl_s, owners))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _store(self, key: str, value: bytes, ttl_s: int, owners: Iterable[str]) -> None:
        longest_s, now_s = max(TTL_S.values()), time.time()
        try:
            async with self._client.pipeline(transaction=False) as commands:
                commands.set(key, _signed(value), ex=ttl_s)
                for owned in map(_owner_key, filter(None, owners)):
                    # By age: the keys of one that never goes are forgotten with their values.
                    commands.zadd(owned, {key: now_s})
                    commands.zremrangebyscore(owned, 0, now_s - longest_s)
                    commands.expire(owned, longest_s)
                await commands.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
        else:
            self._breaker.succeeded()

    async def forget(self, owner: str) -> None:
        """Drops an owner's values, those on their way too. Where Redis does not answer, they
        stay until they expire."""
        if self._writes:
            await asyncio.wait(set(self._writes))
        if not self._breaker.allows():
            return
        owned = _owner_key(owner)
        try:
            keys = await self._client.zrange(owned, 0, -1)
            await self._client.unlink(owned, *keys)
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
        else:
            self._breaker.succeeded()

    async def close(self) -> None:
        """Waits for the writes under way, each bounded by the timeout, and disconnects."""
        if self._writes:
            await asyncio.wait(self._writes)
        await self._client.aclose()

    def _failed(self, error: BaseException) -> None:
        if self._breaker.failed():
            _log.warning("Redis does not answer (%s); going on without it", type(error).__name__)


class ByteLru:
    """Least recently used values, bounded in bytes together. For one event loop."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._values: OrderedDict[str, bytes] = OrderedDict()
        self._held_bytes = 0
        self._owners: dict[str, set[str]] = {}
        self._owned: dict[str, set[str]] = {}

    @property
    def held_bytes(self) -> int:
        """Size of the values and keys held."""
        return self._held_bytes

    def get(self, key: str) -> bytes | None:
        """The value, now the most recently used; or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keeps a value, dropping the least recently used; one too large is not kept."""
        self._drop(key)
        if len(key) + len(value) > self._capacity_bytes:
            return
        self._values[key] = value
        self._held_bytes += len(key) + len(value)
        while self._held_bytes > self._capacity_bytes:
            self._drop(next(iter(self._values)))

    def own(self, key: str, owner: str) -> None:
        """Notes one more owner of a value, if it is held."""
        if owner and key in self._values:
            self._owners.setdefault(key, set()).add(owner)
            self._owned.setdefault(owner, set()).add(key)

    def forget(self, owner: str) -> None:
        """Drops the values of an owner, whoever else owns them."""
        for key in tuple(self._owned.get(owner, ())):
            self._drop(key)

    def _drop(self, key: str) -> None:
        dropped = self._values.pop(key, None)
        if dropped is None:
            return
        self._held_bytes -= len(key) + len(dropped)
        for owner in self._owners.pop(key, ()):
            self._owned[owner].discard(key)
            if not self._owned[owner]:
                del self._owned[owner]


@dataclass(slots=True)
class _Flight:
    task: "asyncio.Task[tuple[bytes, bool]]"
    waiter_count: int = 0


class ResultCache:
    """Bytes by key: memory, then the remote tier, then the work itself, once for all who ask."""

    def __init__(self, capacity_bytes: int, remote: RemoteTier | None = None) -> None:
        self._memory = ByteLru(capacity_bytes)
        self._remote = remote
        self._flights: dict[str, _Flight] = {}

    @property
    def flying(self) -> int:
        """Keys that are being worked on."""
        return len(self._flights)

    @property
    def held_bytes(self) -> int:
        """What memory holds of results, keys included."""
        return self._memory.held_bytes

    async def get_or_compute(
        self, key: str, compute: Callable[[], Awaitable[bytes]], ttl_s: int, owner: str = ""
    ) -> tuple[bytes, bool]:
        """The value, and whether it was cached (joining work under way counts as cached).

        ``owner`` names whose it is, for ``forget``; empty means nobody's.

        Cancelling one caller leaves the work to the others; cancelling the last
        one cancels the work. An error of ``compute`` reaches all who wait and is
        not kept.
        """
        held = self._memory.get(key)
        if held is not None:
            metrics.cache_hits.add(1, {"tier": "memory"})
            self._memory.own(key, owner)
            return held, True
        flight = self._flights.get(key)
        joined = flight is not None
        if flight is None:
            task = asyncio.get_running_loop().create_task(self._fly(key, compute, ttl_s, owner))
            flight = self._flights[key] = _Flight(task)
        flight.waiter_count += 1
        try:
            value, cached = await asyncio.shield(flight.task)
        finally:
            flight.waiter_count -= 1
            if flight.waiter_count == 0 and not flight.task.done():
                # At once, so that the next caller does not join a dying flight.
                self._forget(key, flight)
                flight.task.cancel()
        self._memory.own(key, owner)
        return value, cached or joined

    async def find(self, key: str) -> bytes | None:
        """The value, or None; for work that is not joined."""
        value, tier = self._memory.get(key), "memory"
        if value is None and self._remote is not None:
            value, tier = await self._remote.get(key), "redis"
            if value is not None:
                self._memory.put(key, value)
        if value is None:
            metrics.cache_misses.add(1)
        else:
            metrics.cache_hits.add(1, {"tier": tier})
        return value

    def keep(self, key: str, value: bytes, ttl_s: int, owners: Sequence[str]) -> None:
        """Keeps a value, which goes with any of its owners."""
        self._memory.put(key, value)
        self.own(key, owners)
        if self._remote is not None:
            self._remote.put(key, value, ttl_s, *owners)

    def own(self, key: str, owners: Iterable[str]) -> None:
        """Notes whose a value is that was found."""
        for owner in owners:
            self._memory.own(key, owner)

    async def forget(self, owner: str) -> None:
        """Drops what was made of an owner's data. What is equal to another's is dropped with it
        and made again when needed; in a remote tier that does not answer it expires."""
        self._memory.forget(owner)
        if self._remote is not None:
            await self._remote.forget(owner)

    async def close(self) -> None:
        """Disconnects the remote tier."""
        if self._remote is not None:
            await self._remote.close()

    async def _fly(
        self, key: str, compute: Callable[[], Awaitable[bytes]], ttl_s: int, owner: str
    ) -> tuple[bytes, bool]:
        flight = self._flights[key]
        try:
            value = await self._remote.get(key) if self._remote is not None else None
            cached = value is not None
            if value is None:
                metrics.cache_misses.add(1)
                value = await compute()
                if self._remote is not None:
                    self._remote.put(key, value, ttl_s, owner)
            else:
                metrics.cache_hits.add(1, {"tier": "redis"})
            self._memory.put(key, value)
            return value, cached
        finally:
            self._forget(key, flight)

    def _forget(self, key: str, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def _owner_key(owner: str) -> str:
    return cache_key("owner", owner)


def _signed(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=_SIGNATURE_BYTES).digest() + value


def _unsigned(stored: bytes) -> bytes | None:
    value = stored[_SIGNATURE_BYTES:]
    return value if _signed(value) == stored else None
