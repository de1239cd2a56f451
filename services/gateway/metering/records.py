"""Records of what requests took: noted at once, written to the database soon, in batches."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert
from sqlalchemy.exc import SQLAlchemyError

from services.gateway.database.engine import Database
from services.gateway.metering.tables import usage_records
from services.runtime.account import Usage
from services.runtime.errors import Unavailable

log = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 1.0
UNWRITTEN_MAX = 10_000
"""Records kept while the database does not take them; later ones are lost."""
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One request."""

    tenant_id: str
    user_id: str
    credential_id: str
    method: str
    start_time_s: float
    """Seconds since 1970."""
    duration_s: float
    outcome: str
    """"OK", "CANCELLED" or the reason of the error."""
    used: Usage
    cost_micros: int
    """Millionths of the currency of the price file."""


class UsageLog:
    """Writes records once a second, never in the way of an answer.

    A kill -9 loses the requests that ended in the last second, and what those took that
    were still open. Records older than ``days`` are deleted, at the start and once a day.
    """

    def __init__(
        self, database: Database, days: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._days = days
        self._clock = clock
        self._unwritten: deque[UsageRecord] = deque()
        self._writing = asyncio.Lock()
        self._lost = 0

    def note(self, record: UsageRecord) -> None:
        """Have a record written soon."""
        if len(self._unwritten) < UNWRITTEN_MAX:
            self._unwritten.append(record)
        else:
            self._lost += 1

    async def run(self) -> None:
        """Write until it is cancelled."""
        next_deletion_s = 0.0
        while True:
            if self._clock() >= next_deletion_s:
                await self.delete_old()
                next_deletion_s = self._clock() + _DAY_S
            await asyncio.sleep(FLUSH_INTERVAL_S)
            # Not stopped in the middle of a commit: what is half known would be written twice.
            await asyncio.shield(self.flush())

    async def flush(self) -> None:
        """Write what is noted. What the database does not take now is tried again later."""
        async with self._writing:
            if self._lost:
                log.error("%d usage records are lost: the database took none", self._lost)
                self._lost = 0
            batch = list(self._unwritten)
            if not batch:
                return
            try:
                async with self._database.transaction() as connection:
                    await connection.execute(insert(usage_records), [_row(each) for each in batch])
            except Unavailable:
                log.warning("%d usage records wait for the database", len(batch))
                return
            except SQLAlchemyError:
                # Tried again it would fail again, and hold up all that come after.
                log.exception("%d usage records are lost", len(batch))
            for _ in batch:
                self._unwritten.popleft()

    async def delete_old(self) -> None:
        """Delete the records that are past their days."""
        before_s = self._clock() - self._days * _DAY_S
        with contextlib.suppress(Unavailable):  # tomorrow, then
            async with self._database.transaction() as connection:
                await connection.execute(
                    delete(usage_records).where(usage_records.c.start_time_s < before_s)
                )


def day_of(time_s: float) -> str:
    """The day in UTC of a moment in seconds since 1970, as 2026-11-24."""
    return datetime.fromtimestamp(time_s, UTC).date().isoformat()


def _row(record: UsageRecord) -> dict[str, Any]:
    row = {
        field.name: getattr(record, field.name)
        for field in dataclasses.fields(record)
        if field.name != "used"
    }
    return {**row, "day": day_of(record.start_time_s), **dataclasses.asdict(record.used)}
