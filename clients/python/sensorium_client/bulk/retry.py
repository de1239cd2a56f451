"""When to try again."""

import asyncio
import random
from dataclasses import dataclass

from sensorium_client.client import Client

_POLL_S = 0.5


@dataclass(frozen=True)
class Backoff:
    """Exponential, with jitter, so that many clients do not come back at once."""

    initial_s: float = 0.5
    longest_s: float = 30.0
    attempts_max: int = 8
    """After so many attempts a transient failure is final."""

    def delay_s(self, attempt_count: int, retry_after_s: float | None = None) -> float:
        """How long to wait after so many attempts; not less than the server asks for."""
        longest_s = min(self.initial_s * 2.0 ** min(attempt_count - 1, 32), self.longest_s)
        return max(longest_s * random.uniform(0.5, 1.0), retry_after_s or 0.0)


async def until_serving(client: Client, timeout_s: float | None = None) -> bool:
    """Wait for a server that went away, no longer than that; whether it came back.

    To try meanwhile would only use up the attempts of files that are all right.
    """
    loop = asyncio.get_running_loop()
    deadline_s = None if timeout_s is None else loop.time() + timeout_s
    while not await client.is_serving():
        if deadline_s is not None and loop.time() > deadline_s:
            return False
        await asyncio.sleep(_POLL_S)
    return True
