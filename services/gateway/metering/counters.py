"""Counts what tenants take against their limits: in Redis where it is set, else in memory.

Windows are fixed and begin with the first use (``limits``, fixed window strategy), so a count
is exact, one atomic step, and it is known when a window ends. Across the border of two windows
a tenant may take up to twice the amount.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import TypeVar, cast

import redis.asyncio as redis
from limits import (
    RateLimitItem,
    RateLimitItemPerDay,
    RateLimitItemPerHour,
    RateLimitItemPerMinute,
    RateLimitItemPerMonth,
    RateLimitItemPerSecond,
)
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from services.gateway.metering.limits import Limit, Resource, Window
from services.runtime.cache import CircuitBreaker, RedisOptions, connection_pool

_log = logging.getLogger(__name__)

T = TypeVar("T")

_NAMESPACE = "sensorium-limits"
_ITEMS: dict[Window, type[RateLimitItem]] = {
    Window.SECOND: RateLimitItemPerSecond,
    Window.MINUTE: RateLimitItemPerMinute,
    Window.HOUR: RateLimitItemPerHour,
    Window.DAY: RateLimitItemPerDay,
    Window.MONTH: RateLimitItemPerMonth,
}
# Counters are whole numbers: time is counted in milliseconds.
_UNITS = {Resource.MEDIA_SECONDS: 1000}


class _SharedStorage(RedisStorage):
    async def get_expiry(self, key: str) -> float:
        """When a counter ends, in seconds since 1970; to the millisecond, where the library is
        content with a rounded second."""
        client: redis.Redis = cast(RedispyBridge, self.bridge).storage
        left_ms = await client.pttl(self.bridge.prefixed_key(key))
        return time.time() + max(left_ms, 0) / 1000


class Counters:
    """The counters of all tenants. No method raises because of Redis.

    What this process counts it counts in memory too. While Redis does not answer, that holds
    its tenants to their limits; what others count, and what Redis misses meanwhile, is forgiven.
    """

    def __init__(self, redis_url: str = "", options: RedisOptions | None = None) -> None:
        options = options or RedisOptions()
        self._local = FixedWindowRateLimiter(MemoryStorage())
        self._pool: redis.BlockingConnectionPool | None = None
        self._shared: FixedWindowRateLimiter | None = None
        self._breaker = CircuitBreaker(options.failures_to_open, options.open_s, time.monotonic)
        if redis_url:
            self._pool = connection_pool(redis_url, options)
            storage = _SharedStorage(
                "async+redis://",
                wrap_exceptions=True,
                implementation="redispy",
                connection_pool=self._pool,  # type: ignore[arg-type]
            )
            self._shared = FixedWindowRateLimiter(storage)

    async def take(
        self, tenant_id: str, limits: Iterable[Limit], amount: float = 1
    ) -> Collection[Limit]:
        """Count an amount against each limit; those that are now past theirs."""

        async def hit(limit: Limit) -> bool:
            cost = math.ceil(amount * _unit(limit))
            return await self._ask(lambda each: each.hit(_item(limit), tenant_id, cost=cost))

        return await _unmet(limits, hit)

    async def spent(self, tenant_id: str, limits: Iterable[Limit]) -> Collection[Limit]:
        """The limits of which nothing is left."""

        async def test(limit: Limit) -> bool:
            return await self._ask(lambda each: each.test(_item(limit), tenant_id))

        return await _unmet(limits, test)

    async def frees_in_s(self, tenant_id: str, limits: Iterable[Limit]) -> float:
        """Seconds until the windows of all these limits have ended."""

        async def ends(limit: Limit) -> float:
            stats = await self._ask(lambda each: each.get_window_stats(_item(limit), tenant_id))
            return stats.reset_time

        ends_s = await asyncio.gather(*map(ends, limits))
        return max(*ends_s, time.time(), 0.0) - time.time()

    async def close(self) -> None:
        """Free the connections."""
        if self._pool:
            await self._pool.disconnect()

    async def _ask(self, question: Callable[[FixedWindowRateLimiter], Awaitable[T]]) -> T:
        local = await question(self._local)
        if self._shared is None or not self._breaker.allows():
            return local
        try:
            shared = await question(self._shared)
        except StorageError as error:
            if self._breaker.failed():
                _log.warning(
                    "Redis does not answer, each gateway counts for itself until it does: %s", error
                )
            return local
        self._breaker.succeeded()
        return shared


def _unit(limit: Limit) -> int:
    return _UNITS.get(limit.resource, 1)


def _item(limit: Limit) -> RateLimitItem:
    amount = math.ceil(limit.amount * _unit(limit))
    return _ITEMS[limit.window](amount, namespace=f"{_NAMESPACE}/{limit.resource}")


async def _unmet(
    limits: Iterable[Limit], holds: Callable[[Limit], Awaitable[bool]]
) -> Collection[Limit]:
    asked = list(limits)
    answers = await asyncio.gather(*map(holds, asked))
    return [limit for limit, held in zip(asked, answers, strict=True) if not held]
