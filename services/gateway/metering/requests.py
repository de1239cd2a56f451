"""A request from the door to its end: held to its tenant's limits, and its usage noted."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from services.gateway.access.principal import Principal
from services.gateway.database.engine import Database
from services.gateway.metering.counters import Counters
from services.gateway.metering.limiter import Limiter, TenantCharger
from services.gateway.metering.limits import load_limits
from services.gateway.metering.prices import Prices, load_prices
from services.gateway.metering.records import UsageLog, UsageRecord
from services.gateway.metering.report import UsageReport
from services.runtime.account import Account
from services.runtime.errors import Overloaded, SensoriumError
from services.runtime.settings import Settings
from services.runtime.streams import first_error


class Metering:
    """Meters every request that comes through the door. Without a ``limiter`` none is limited."""

    def __init__(
        self, database: Database, limiter: Limiter | None, usage_log: UsageLog, prices: Prices
    ) -> None:
        self.report = UsageReport(database, usage_log, prices.currency)
        self._limiter = limiter
        self._log = usage_log
        self._prices = prices

    async def run(self) -> None:
        """Write what is noted, until it is cancelled."""
        await self._log.run()

    async def close(self) -> None:
        """Write the last records; free the connections."""
        await self._log.flush()
        if self._limiter:
            await self._limiter.close()

    @asynccontextmanager
    async def request(
        self, principal: Principal, method: str, readmit: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[Account]:
        """The account of a request while it is served. What is refused here leaves no record.
        For ``readmit`` see Account.

        Raises Overloaded RATE_LIMITED or QUOTA_EXCEEDED, before the block runs.
        """
        charger = None
        if self._limiter:
            await self._limiter.admit(principal.tenant_id, method)
            charger = TenantCharger(self._limiter, principal.tenant_id, method)
        account = Account(charger, readmit)
        start_time_s, started_s = time.time(), time.monotonic()
        outcome = "OK"
        try:
            yield account
        except BaseException as error:
            outcome = _outcome(error)
            raise
        finally:
            self._log.note(
                UsageRecord(
                    tenant_id=principal.tenant_id,
                    user_id=principal.user_id,
                    credential_id=principal.credential_id,
                    method=method,
                    start_time_s=start_time_s,
                    duration_s=time.monotonic() - started_s,
                    outcome=outcome,
                    used=account.used,
                    cost_micros=self._prices.cost_micros(account.used),
                )
            )
            # It is all over: what ran past a limit is for the next request to feel.
            with contextlib.suppress(Overloaded):
                await account.settle()


def metering_of(settings: Settings, database: Database) -> Metering:
    """The metering that the settings ask for.

    Raises:
        InvalidInput: LIMITS_FILE_INVALID, PRICES_FILE_INVALID.
    """
    limits = load_limits(settings.limits_file)
    return Metering(
        database,
        Limiter(limits, Counters(settings.redis_url)) if limits else None,
        UsageLog(database, settings.usage_days),
        load_prices(settings.prices_file),
    )


def _outcome(error: BaseException) -> str:
    error = first_error(error)
    if isinstance(error, SensoriumError):
        return error.reason
    return "CANCELLED" if isinstance(error, asyncio.CancelledError | GeneratorExit) else "INTERNAL"
