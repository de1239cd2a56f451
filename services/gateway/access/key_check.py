"""Whose an API key is, without a look into the database for every call."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from services.gateway.access.keys import KeyRecord, split_key
from services.gateway.access.principal import Principal
from services.runtime.errors import Unauthenticated

LOOKUP_TTL_S = 2.0
"""A key that is revoked is refused so long after at the latest. A new one works at once."""
KNOWN_MAX = 4096


class KeyCheck:
    """Checks keys against their records; of those in use it remembers the record for a while.

    Ids that nobody has are not remembered: a flood of invented ones pushes no key out.
    """

    def __init__(
        self, find: Callable[[str], Awaitable[KeyRecord | None]], ttl_s: float = LOOKUP_TTL_S
    ) -> None:
        self._find = find
        self._ttl_s = ttl_s
        self._known: OrderedDict[str, tuple[KeyRecord, float]] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[KeyRecord | None]] = {}

    async def authenticate(self, key: str) -> Principal:
        """Who calls with a key. Raises Unauthenticated KEY_UNKNOWN, KEY_REVOKED or KEY_EXPIRED,
        and Unavailable KEYS_UNAVAILABLE."""
        parts = split_key(key)
        record = await self._record(parts[0]) if parts else None
        if not parts or record is None or not record.has_secret(parts[1]):
            raise Unauthenticated("KEY_UNKNOWN", "There is no such key.")
        # Told only to who has the whole key.
        if record.revoke_time_s is not None:
            raise Unauthenticated("KEY_REVOKED", "The key was revoked.", subject=record.key_id)
        expire_time_s = record.grant.expire_time_s
        if expire_time_s is not None and time.time() >= expire_time_s:
            raise Unauthenticated("KEY_EXPIRED", "The key has expired.", subject=record.key_id)
        return record.principal

    async def _record(self, key_id: str) -> KeyRecord | None:
        known = self._known.get(key_id)
        if known and time.monotonic() < known[1]:
            self._known.move_to_end(key_id)
            return known[0]
        lookup = self._lookups.get(key_id)
        if lookup is None:
            lookup = self._lookups[key_id] = asyncio.ensure_future(self._look_up(key_id))
            lookup.add_done_callback(lambda _: self._lookups.pop(key_id))
        # Others may wait for it too.
        return await asyncio.shield(lookup)

    async def _look_up(self, key_id: str) -> KeyRecord | None:
        until = time.monotonic() + self._ttl_s
        record = await self._find(key_id)
        if record is None:
            self._known.pop(key_id, None)
            return None
        self._known[key_id] = (record, until)
        self._known.move_to_end(key_id)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return record
