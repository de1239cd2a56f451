"""Many files over a few streams, with retries: what ``sensorium ingest`` does."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from sensorium_client.bulk.attempt import Attempt, SendOptions
from sensorium_client.bulk.hashes import Hashes
from sensorium_client.bulk.outcome import FileOutcome, FileProgress, FileStatus
from sensorium_client.bulk.relay import relay
from sensorium_client.bulk.retry import Backoff, until_serving
from sensorium_client.bulk.walk import FoundFile
from sensorium_client.client import Client
from sensorium_client.errors import SensoriumClientError

_FILES_A_STREAM = 64
_EVENTS_AHEAD = 256


@dataclass(frozen=True)
class BulkOptions:
    """How files are sent."""

    send: SendOptions = field(default_factory=SendOptions)
    stream_count: int = 3
    """Streams at once. More than one, so that the server always has work while one ends."""
    backoff: Backoff = field(default_factory=Backoff)
    away_s_max: float = 600.0
    """How long a server that went away is waited for; then the run ends."""


class FolderIngest:
    """Sends files, each until it is stored or has failed for good."""

    def __init__(self, client: Client, options: BulkOptions, hashes: Hashes) -> None:
        self._client = client
        self._options = options
        self._hashes = hashes
        self._waiting: deque[Sequence[FoundFile]] = deque()
        self._told: asyncio.Queue[FileOutcome | FileProgress] = asyncio.Queue(_EVENTS_AHEAD)

    async def run(
        self, files: Iterable[FoundFile]
    ) -> AsyncGenerator[FileOutcome | FileProgress, None]:
        """One outcome for each file, in the order in which they are done.

        Closing it early ends all streams; what is committed stays, and a later
        run goes on from there. Raises SensoriumClientError where the server
        refuses everything, or goes away and does not come back.
        """
        listed = list(files)
        for start in range(0, len(listed), _FILES_A_STREAM):
            self._waiting.append(listed[start : start + _FILES_A_STREAM])
        lanes = [self._run_lane() for _ in range(self._options.stream_count)]
        async with aclosing(relay(self._told, lanes)) as told:
            async for each in told:
                yield each

    async def _run_lane(self) -> None:
        while self._waiting:
            await self._finish(self._waiting.popleft())

    async def _finish(self, files: Sequence[FoundFile]) -> None:
        """Try some files until none of them has a failure that may pass."""
        backoff, attempt_count = self._options.backoff, 0
        while files:
            attempt_count += 1
            again: list[FileOutcome] = []
            attempt = Attempt(self._client, self._options.send, self._hashes)
            async with aclosing(attempt.run(files)) as outcomes:
                async for told in outcomes:
                    if attempt_count < backoff.attempts_max and _may_pass(told):
                        assert isinstance(told, FileOutcome)
                        again.append(told)
                    else:
                        await self._told.put(told)
            files = [outcome.file for outcome in again]
            if any(each.failure and each.failure.code == "UNAVAILABLE" for each in again):
                await self._wait_for_server()
            if again:
                asked_for = [each.failure.retry_after_s or 0.0 for each in again if each.failure]
                await asyncio.sleep(backoff.delay_s(attempt_count, max(asked_for)))

    async def _wait_for_server(self) -> None:
        if not await until_serving(self._client, self._options.away_s_max):
            raise SensoriumClientError(
                "UNAVAILABLE",
                "SERVER_GONE",
                "The server went away and did not come back; run it again to go on.",
            )


def _may_pass(told: FileOutcome | FileProgress) -> bool:
    if not isinstance(told, FileOutcome) or told.status is not FileStatus.FAILED:
        return False
    return told.failure is not None and told.failure.transient
