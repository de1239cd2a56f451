"""How long each tenant's assets are kept."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import ConfigDict, PositiveFloat
from pydantic.dataclasses import dataclass

from services.gateway.catalogue import every_tenant, list_assets
from services.gateway.deletion import Deleter
from services.gateway.stages import Stages
from services.runtime.calls import CallScope
from services.runtime.errors import InternalFailure, NotFound, SensoriumError
from services.runtime.json_files import read_json_file

log = logging.getLogger(__name__)

INTERVAL_S = 3600.0
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Retention:
    """Days after which assets are deleted, counted from their commit; None keeps them.

    ``default_days`` is for tenants that are not named; a named one may be None too.
    """

    default_days: PositiveFloat | None = None
    tenants: Mapping[str, PositiveFloat | None] = field(default_factory=dict)

    def days(self, tenant_id: str) -> float | None:
        """How many days a tenant's assets are kept."""
        return self.tenants.get(tenant_id, self.default_days)


def load_retention(path: Path | None) -> Retention:
    """The retention of a JSON file; without one everything is kept.

    Raises:
        InvalidInput: RETENTION_FILE_INVALID, naming the field.
    """
    return Retention() if path is None else read_json_file(Retention, path, "retention_file")


class Expiry:
    """Deletes what is past its time, once an hour."""

    def __init__(
        self,
        stages: Stages,
        deleter: Deleter,
        retention: Retention,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stages = stages
        self._deleter = deleter
        self._retention = retention
        self._clock = clock

    async def run(self) -> None:
        """Runs until it is cancelled. Errors are logged: the next hour tries again. One
        asset that fails does not hold up the others."""
        while True:
            try:
                await self.expire()
            except SensoriumError as error:
                log.warning("could not delete all that is past its time: %s", error)
            await asyncio.sleep(INTERVAL_S)

    async def expire(self) -> int:
        """Delete what is past its time now; returns how many assets."""
        count = 0
        for scope in await every_tenant(self._stages):
            days = self._retention.days(scope.tenant_id)
            if days is not None:
                count += await self._expire(scope, days)
        return count

    async def _expire(self, scope: CallScope, days: float) -> int:
        before = Timestamp()
        before.FromMicroseconds(round((self._clock() - days * _DAY_S) * 1e6))
        count = 0
        async for asset in list_assets(self._stages, scope, before):
            try:
                await self._deleter.delete(scope, asset.asset_id)
            except NotFound:
                continue  # somebody else was first
            except InternalFailure as error:
                log.warning("could not delete an asset past its time: %s", error)
                continue
            count += 1
        if count:
            log.info("deleted %d assets of %s past their time", count, scope.tenant_id)
        return count
