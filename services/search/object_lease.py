"""The lease of an index on an object store.

It is an object that is only ever written on condition that it is still the one
that was read, so of those who want it one gets it. Its holder rewrites it at
short intervals; whoever has seen it unchanged for the term that it names may
take it. Each side measures with its own clock how long something lasts, and
never compares times of day: clocks need to run equally fast, not to agree.

What comes from a holder that was frozen past its term fails at the fence of the
next one (``claims.py``). Not covered is a process that is frozen, for longer than
the term, within the single request that sets its fence, while another takes the
lease and writes: the fence would then restore what was there before.
"""

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import ObjectStore

from services.runtime.errors import Unavailable
from services.search.lease import LEASE_FILE, Holder

log = logging.getLogger(__name__)

_STORE_ERRORS = (BaseError, OSError)


def clock_s() -> float:
    """Seconds that also pass while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long a lease lasts, in seconds."""

    ttl_s: float
    """Unchanged for so long, it may be taken."""

    @property
    def renew_s(self) -> float:
        """How often its holder rewrites it."""
        return self.ttl_s / 4

    @property
    def margin_s(self) -> float:
        """So long before it may be taken its holder stops to commit."""
        return self.ttl_s / 5


@dataclass(frozen=True, slots=True)
class _Content:
    holder: str
    """A random id; empty where it was let go."""
    address: str
    epoch: int
    ttl_s: float
    nonce: str = ""
    """Another in each writing, so that no two have the same ETag."""


@dataclass(frozen=True, slots=True)
class _Seen:
    content: _Content
    version: dict[str, str]
    """What a conditional write names: ETag, and version where the store has them."""
    first_s: float
    """When this content was first seen."""


class ObjectLease:
    """The lease of the index below ``store``'s prefix; ``address`` is the host:port
    of this process's search service."""

    def __init__(
        self,
        store: ObjectStore,
        address: str,
        terms: LeaseTerms,
        clock: Callable[[], float] = clock_s,
    ) -> None:
        self._store = store
        self._terms = terms
        self._clock = clock
        self._mine = _Content(uuid.uuid4().hex, address, 0, terms.ttl_s)
        self._seen: _Seen | None = None
        self._until_s = 0.0
        self._renewing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def epoch(self) -> int:
        """See ``Lease``."""
        return self._mine.epoch

    def remaining_s(self) -> float:
        """See ``Lease``."""
        return max(0.0, self._until_s - self._clock())

    async def acquire(self) -> Holder | None:
        """See ``Lease``."""
        if self.remaining_s():
            return None
        try:
            async with self._lock, asyncio.timeout(self._terms.ttl_s):
                return await self._acquire()
        except (TimeoutError, *_STORE_ERRORS) as error:
            log.exception("the lease of the index cannot be read or written")
            raise Unavailable(
                "INDEX_UNREACHABLE",
                "The storage of the index cannot be reached; try again.",
                retry_after_s=self._terms.renew_s,
            ) from error

    async def lapsed(self, holder: Holder) -> None:
        """See ``Lease``."""
        while True:
            await asyncio.sleep(self._terms.renew_s)
            with contextlib.suppress(TimeoutError, *_STORE_ERRORS):
                async with self._lock, asyncio.timeout(self._terms.renew_s):
                    await self._look()
                    if self._address() != holder.address or self._wait_s() <= 0:
                        return

    async def release(self) -> None:
        """See ``Lease``. Where the store cannot be reached it runs out instead."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
            self._renewing = None
        if not self.remaining_s():
            return
        self._until_s = 0.0
        try:
            async with asyncio.timeout(self._terms.renew_s):
                await self._write(replace(self._mine, holder="", address=""))
        except (TimeoutError, *_STORE_ERRORS):
            log.warning("the lease of the index could not be let go", exc_info=True)

    async def _acquire(self) -> Holder | None:
        if self.remaining_s():
            return None
        await self._look()
        wait_s = self._wait_s()
        if wait_s <= 0:
            epoch = self._seen.content.epoch + 1 if self._seen else 1
            began_s = self._clock()
            if await self._write(replace(self._mine, epoch=epoch)):
                self._until_s = began_s + self._terms.ttl_s - self._terms.margin_s
                self._start_renewing()
                return None
            # Another was quicker.
            await self._look()
            wait_s = self._wait_s()
        return Holder(self._address(), max(wait_s, self._terms.renew_s))

    def _address(self) -> str:
        return self._seen.content.address if self._seen else ""

    def _wait_s(self) -> float:
        """How long until the lease may be taken, as far as is known."""
        if self._seen is None or self._seen.content.holder in ("", self._mine.holder):
            return 0.0
        return self._seen.first_s + self._seen.content.ttl_s - self._clock()

    async def _look(self) -> None:
        try:
            found = await obstore.get_async(self._store, LEASE_FILE)
        except FileNotFoundError:
            self._seen = None
            return
        content = _Content(**json.loads(bytes(await found.bytes_async())))
        first_s = self._clock()
        if self._seen is not None and self._seen.content == content:
            first_s = self._seen.first_s
        self._seen = _Seen(content, _version(found.meta), first_s)

    async def _write(self, content: _Content) -> bool:
        """Whether it was written: it was not if another wrote since the last look."""
        content = replace(content, nonce=uuid.uuid4().hex)
        mode: Any = "create" if self._seen is None else self._seen.version
        data = json.dumps(asdict(content)).encode()
        try:
            written = await obstore.put_async(self._store, LEASE_FILE, data, mode=mode)
        except (AlreadyExistsError, PreconditionError):
            # Also where the store took it, the answer was lost and it was sent again.
            await self._look()
            if self._seen is None or self._seen.content != content:
                return False
        else:
            self._seen = _Seen(content, _version(written), self._clock())
        self._mine = content if content.holder else self._mine
        return True

    def _start_renewing(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = asyncio.create_task(self._renew(), name="index-lease")

    async def _renew(self) -> None:
        while self.remaining_s():
            await asyncio.sleep(self._terms.renew_s)
            began_s = self._clock()
            # What fails here is tried again while the lease lasts.
            with contextlib.suppress(TimeoutError, *_STORE_ERRORS):
                async with self._lock, asyncio.timeout(self._terms.renew_s):
                    if await self._write(self._mine):
                        self._until_s = began_s + self._terms.ttl_s - self._terms.margin_s
                    elif self._seen is None or self._seen.content.holder != self._mine.holder:
                        self._until_s = 0.0
        log.warning("the lease of the index is lost; another process may write now")


def _version(meta: Any) -> dict[str, str]:
    names = ("e_tag", "version")
    return {name: meta[name] for name in names if meta.get(name) is not None}
