"""What one request takes, told as the work goes on, and held to what its tenant may take."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

CHARGE_BYTES = 1 << 20
"""Bytes of media that a stream may be ahead of its last charge."""


@dataclass(slots=True)
class Usage:
    """What was taken so far."""

    prompt_token_count: int = 0
    cached_token_count: int = 0
    """Of the prompt, already in the model's cache."""
    completion_token_count: int = 0
    media_s: float = 0.0
    """Length of the sound and video that was perceived, in seconds."""
    media_bytes: int = 0
    """Bytes of media received."""
    segment_count: int = 0
    cache_hit_count: int = 0
    """Encoding tasks answered from the cache."""


class Charger(Protocol):
    """Holds a request to the limits of its tenant."""

    @property
    def turns_max(self) -> int | None:
        """Questions of the tenant that may be answered at once; None where there is no limit."""

    async def begin(self) -> None:
        """Count a request. Raises Overloaded where none is left."""

    async def charge(self, used: Usage) -> None:
        """Charge what is not charged yet of all that was used. Raises Overloaded where media
        comes and nothing is left."""


async def _welcome() -> None:
    """Whoever came in may stay."""


class Account:
    """Told by the walk what its request takes. Without a ``charger`` nothing is limited.

    ``readmit`` raises Unauthenticated, PermissionDenied or Unavailable where who makes the request
    would not be let in any more: a stream may outlast its credential.
    """

    def __init__(
        self, charger: Charger | None = None, readmit: Callable[[], Awaitable[None]] = _welcome
    ) -> None:
        self.used = Usage()
        self._charger = charger
        self._readmit = readmit
        self._begun = False
        self._charged_bytes = 0

    @property
    def turns_max(self) -> int | None:
        """Questions of the tenant that may be answered at once; None where there is no limit."""
        return self._charger.turns_max if self._charger else None

    async def begin(self) -> None:
        """A question or a search of a stream begins; the first counts with the call itself.

        Raises Overloaded RATE_LIMITED or QUOTA_EXCEEDED where nothing is left for it, and as
        ``readmit`` does.
        """
        if self._begun:
            await self._readmit()
            if self._charger:
                await self.settle()
                await self._charger.begin()
        self._begun = True

    async def received(self, byte_count: int) -> None:
        """Media came in. Raises Overloaded RATE_LIMITED or QUOTA_EXCEEDED."""
        self.used.media_bytes += byte_count
        uncharged = self.used.media_bytes - self._charged_bytes
        # The first bytes at once: they are refused where nothing is left.
        if self._charger and (not self._charged_bytes or uncharged >= CHARGE_BYTES):
            await self.settle()

    async def settle(self) -> None:
        """Charge all that was used. Raises Overloaded RATE_LIMITED or QUOTA_EXCEEDED."""
        self._charged_bytes = self.used.media_bytes
        if self._charger:
            await self._charger.charge(self.used)
