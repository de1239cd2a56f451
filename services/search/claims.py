"""The tables that this process writes: claimed once it holds the lease, and anew each
time that it has got it back.

A process may be frozen between its last look at the lease and the arrival of its
commit, for any time. So whoever takes over a lease that can run out fences each
table, and a commit is begun in this order: the newest version is read, then the
lease is looked at, then the change is built on that version. A version that was
read while the lease was held lies before the fence of the next holder, which no
change that is built on it gets past.
"""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.search.durability import FolderSync
from services.search.lease import Lease, writer_changed
from services.search.tables import AsyncTable, Tables


@dataclass(frozen=True, slots=True)
class _Claim:
    table: AsyncTable
    folder: FolderSync | None


@dataclass(slots=True)
class Claims:
    """What is claimed under the present epoch of the lease. For one task at a time."""

    tables: Tables
    lease: Lease
    _claims: dict[str, _Claim] = field(default_factory=dict)
    _epoch: int = 0

    def __iter__(self) -> Iterator[str]:
        """The spaces whose tables are claimed."""
        return iter(self._claims)

    def remaining_s(self) -> float:
        """For how long what is claimed may be written; 0 where the lease is lost, or
        was in the meantime."""
        return self.lease.remaining_s() if self._epoch == self.lease.epoch else 0.0

    def require(self) -> float:
        """As ``remaining_s``, but raises Unavailable INDEX_WRITER_CHANGED instead of 0."""
        if not (remaining_s := self.remaining_s()):
            raise writer_changed()
        return remaining_s

    async def renew(self) -> bool:
        """To be called before each job: claims every table where the lease is new, and
        returns whether it was. Raises as ``require``."""
        is_new = bool(self.lease.remaining_s()) and self._epoch != self.lease.epoch
        if is_new:
            epoch = self.lease.epoch
            self.close()
            for space in await self.tables.spaces():
                await self._claim(space)
            self._epoch = epoch
        self.require()
        return is_new

    async def find_or_create(self, space: str, dimension: int) -> None:
        """Claims the table of a space, which is made if there is none."""
        if space not in self._claims:
            await self.tables.find_or_create(space, dimension)
            await self._claim(space)

    async def newest(self, space: str) -> AsyncTable:
        """A claimed table at its newest version. What is built on it must be preceded
        by ``require``."""
        table = self._claims[space].table
        await table.checkout_latest()
        return table

    async def sync(self, space: str) -> None:
        """Makes what was committed durable. Raises as ``require`` where the lease ran
        out meanwhile: the next holder may not have seen the commit."""
        folder = self._claims[space].folder
        if folder is not None:
            await asyncio.to_thread(folder.sync)
        self.require()

    def close(self) -> None:
        """Lets go of all tables."""
        for claim in self._claims.values():
            claim.table.close()
            if claim.folder is not None:
                claim.folder.close()
        self._claims = {}

    async def _claim(self, space: str) -> None:
        if await self.tables.find(space) is None:
            return
        await self.tables.upgrade(space)
        table = await self.tables.open_to_write(space)
        # A lease without end was not taken from anybody.
        if not math.isinf(self.lease.remaining_s()):
            await fence(table, self.lease)
        folder = self.tables.path(space)
        self._claims[space] = _Claim(table, FolderSync(folder) if folder else None)


async def fence(table: AsyncTable, lease: Lease) -> None:
    """Shuts out who held the lease before: commits what the table holds once more, as a
    restored version. No other commit agrees with that: one that began before fails,
    however late it comes. Raises Unavailable INDEX_WRITER_CHANGED."""
    await table.checkout(await table.version())
    if not lease.remaining_s():
        raise writer_changed()
    await table.restore()
