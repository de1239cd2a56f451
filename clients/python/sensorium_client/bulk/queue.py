"""Durable queues of files: Redis Streams with a consumer group, one stream for each modality.

An entry is in one place at any time, moved by scripts that run as one: on the
stream (``read`` gives it to one worker, ``claim_abandoned`` takes it from a
dead one), in the sorted set of those to be tried later, or on the stream of
dead letters. What is done is deleted, so a stream is as long as its work is.

Keys, which a cluster keeps together::

    sensorium:{<tenant>:<modality>}:queue     stream
    sensorium:{<tenant>:<modality>}:delayed   sorted set, by the time when it is due, ms
    sensorium:{<tenant>:<modality>}:dead      stream
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sensorium_client.bulk.attempt import SendOptions
from sensorium_client.bulk.modality import Modality
from sensorium_client.bulk.outcome import Failure
from sensorium_client.media import Labels

_GROUP = "workers"
_FIELD = "file"
_PIPELINE_COUNT = 500
_MOVE_COUNT = 100
# A queue that restarts is waited for about a minute.
_RECONNECTS = 32
_RECONNECT_S_MAX = 2.0
_SHOWN_CHARACTERS = 200
_UNKNOWN_FORM = Failure(
    "INVALID_ARGUMENT", "ENTRY_INVALID", "`sensorium enqueue` writes no such entries."
)

_LATER = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
local now = redis.call('TIME')
redis.call('ZADD', KEYS[2], now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[4], ARGV[3])
return 1
"""
_BURY = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
return 1
"""
_PROMOTE = """
local now = redis.call('TIME')
local due_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', due_ms, 'LIMIT', 0, ARGV[1])
for _, file in ipairs(due) do
  redis.call('XADD', KEYS[1], '*', 'file', file)
  redis.call('ZREM', KEYS[2], file)
end
return #due
"""
_RAISE = """
local dead = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', ARGV[1])
for _, entry in ipairs(dead) do
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'file' then
      redis.call('XADD', KEYS[1], '*', 'file', entry[2][at + 1])
    end
  end
  redis.call('XDEL', KEYS[2], entry[1])
end
return #dead
"""


@dataclass(frozen=True)
class QueuedFile:
    """What an entry says. The path must mean the same file to every worker."""

    path: str
    """Absolute."""
    relative_path: str
    """Below the folder that was enqueued; the asset id follows from it."""
    options: SendOptions = field(default_factory=SendOptions)
    attempt_count: int = 0
    """Tries that failed and may pass."""


@dataclass(frozen=True)
class Entry:
    """A file that this worker has."""

    entry_id: str
    file: QueuedFile
    delivery_count: int = 1
    """Workers that had it, this one included."""


@dataclass(frozen=True)
class DeadLetter:
    """A file that was given up."""

    file: QueuedFile
    code: str
    reason: str
    message: str
    attempt_count: int


@dataclass(frozen=True)
class QueueStatus:
    """How much there is of a modality."""

    modality: Modality
    waiting_count: int
    """Nobody has them yet."""
    working_count: int
    """With a worker, perhaps a dead one."""
    delayed_count: int
    """To be tried again later."""
    dead_count: int

    @property
    def unfinished_count(self) -> int:
        """All but the dead letters."""
        return self.waiting_count + self.working_count + self.delayed_count


async def connect(url: str) -> Redis:
    """A connection that outlasts a restart of the server. Close it with ``aclose``.

    Raises redis.RedisError at once where none answers now, ValueError for what is no URL.
    """
    async with Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as first:
        await first.ping()
    retry = Retry(ExponentialBackoff(cap=_RECONNECT_S_MAX, base=0.05), _RECONNECTS)
    connection: Redis = Redis.from_url(
        url,
        decode_responses=True,
        retry=retry,
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
    return connection


class ModalityQueue:
    """The queue of one modality of a tenant. Raises redis.RedisError."""

    def __init__(self, connection: Redis, tenant: str, modality: Modality) -> None:
        prefix = f"sensorium:{{{tenant}:{modality}}}"
        self.modality = modality
        self._redis = connection
        self._stream = f"{prefix}:queue"
        self._delayed = f"{prefix}:delayed"
        self._dead = f"{prefix}:dead"
        self._later = connection.register_script(_LATER)
        self._bury = connection.register_script(_BURY)
        self._promote = connection.register_script(_PROMOTE)
        self._raise = connection.register_script(_RAISE)

    async def open(self) -> None:
        """Make stream and group if there are none."""
        try:
            await self._redis.xgroup_create(self._stream, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def put(self, files: Iterable[QueuedFile]) -> int:
        """Add files; how many."""
        listed = [_to_json(file) for file in files]
        for start in range(0, len(listed), _PIPELINE_COUNT):
            async with self._redis.pipeline(transaction=True) as pipeline:
                for text in listed[start : start + _PIPELINE_COUNT]:
                    pipeline.xadd(self._stream, {_FIELD: text})
                await pipeline.execute()
        return len(listed)

    async def read(self, consumer: str, count: int, block_s: float) -> list[Entry]:
        """Entries that nobody has had; waits up to ``block_s`` for the first."""
        answer: Any = await self._redis.xreadgroup(
            _GROUP, consumer, {self._stream: ">"}, count=count, block=round(block_s * 1000)
        )
        found = answer.items() if isinstance(answer, dict) else answer or ()
        return await self._entries(each for _, entries in found for each in entries)

    async def claim_abandoned(self, consumer: str, count: int, idle_s: float) -> list[Entry]:
        """Entries whose worker gave no sign of life for so long."""
        answer: Any = await self._redis.xautoclaim(
            self._stream, _GROUP, consumer, round(idle_s * 1000), count=count
        )
        claimed = await self._entries(each for each in answer[1] if each[1])
        if not claimed:
            return []
        async with self._redis.pipeline(transaction=False) as pipeline:
            for entry in claimed:
                pipeline.xpending_range(
                    self._stream, _GROUP, min=entry.entry_id, max=entry.entry_id, count=1
                )
            pending = await pipeline.execute()
        return [
            dataclasses.replace(entry, delivery_count=int(found[0]["times_delivered"]))
            for entry, found in zip(claimed, pending, strict=True)
            if found
        ]

    async def _entries(self, found: Iterable[tuple[str, dict[str, str]]]) -> list[Entry]:
        """What was read. Entries of another form are buried: they would end each worker."""
        entries = []
        for entry_id, fields in found:
            try:
                entries.append(Entry(entry_id, _from_json(fields[_FIELD])))
            except (KeyError, TypeError, ValueError):
                unknown = QueuedFile("", json.dumps(fields)[:_SHOWN_CHARACTERS])
                await self.bury(Entry(entry_id, unknown), _UNKNOWN_FORM)
        return entries

    async def keep(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Tell that the worker is alive."""
        await self._claim(consumer, entries, idle_ms=0)

    async def release(self, consumer: str, entries: Sequence[Entry]) -> None:
        """Let others claim the entries at once, as if they had been left long ago by the first
        who had them."""
        await self._claim(consumer, entries, idle_ms=24 * 3600 * 1000, retrycount=0)

    async def _claim(
        self, consumer: str, entries: Sequence[Entry], idle_ms: int, retrycount: int | None = None
    ) -> None:
        if entries:
            ids: list[Any] = [entry.entry_id for entry in entries]
            await self._redis.xclaim(
                self._stream,
                _GROUP,
                consumer,
                0,
                ids,
                idle=idle_ms,
                retrycount=retrycount,
                justid=True,
            )

    async def done(self, entry: Entry) -> None:
        """Forget an entry: its file is stored."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(self._stream, _GROUP, entry.entry_id)
            pipeline.xdel(self._stream, entry.entry_id)
            await pipeline.execute()

    async def try_later(self, entry: Entry, delay_s: float) -> None:
        """Try a file again after a while; others go on meanwhile."""
        again = dataclasses.replace(entry.file, attempt_count=entry.file.attempt_count + 1)
        arguments = [_GROUP, entry.entry_id, _to_json(again), str(round(delay_s * 1000))]
        await self._later(keys=[self._stream, self._delayed], args=arguments)

    async def bury(self, entry: Entry, failure: Failure) -> None:
        """Give a file up, with the reason."""
        fields = {
            _FIELD: _to_json(dataclasses.replace(entry.file, attempt_count=0)),
            "code": failure.code,
            "reason": failure.reason,
            "message": failure.message,
            "attempt_count": str(entry.file.attempt_count + 1),
        }
        flat = [part for field in fields.items() for part in field]
        arguments = [_GROUP, entry.entry_id, *flat]
        await self._bury(keys=[self._stream, self._dead], args=arguments)

    async def promote_due(self) -> int:
        """Put those back on the stream whose time has come; how many."""
        return int(await self._promote(keys=[self._stream, self._delayed], args=[_MOVE_COUNT]))

    async def retry_dead(self) -> int:
        """Put all dead letters back on the stream; how many."""
        total = 0
        while moved := int(await self._raise(keys=[self._stream, self._dead], args=[_MOVE_COUNT])):
            total += moved
        return total

    async def dead_letters(self, count: int = 100) -> list[DeadLetter]:
        """The oldest dead letters."""
        found: Any = await self._redis.xrange(self._dead, count=count)
        return [
            DeadLetter(
                _from_json(fields[_FIELD]),
                fields["code"],
                fields["reason"],
                fields["message"],
                int(fields["attempt_count"]),
            )
            for _, fields in found
        ]

    async def status(self) -> QueueStatus:
        """How much there is; nothing where the queue was never used."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xlen(self._stream)
            pipeline.zcard(self._delayed)
            pipeline.xlen(self._dead)
            length, delayed_count, dead_count = await pipeline.execute()
        working_count = 0
        if length:
            pending: Any = await self._redis.xpending(self._stream, _GROUP)
            working_count = int(pending["pending"])
        return QueueStatus(
            self.modality, max(length - working_count, 0), working_count, delayed_count, dead_count
        )


def _to_json(file: QueuedFile) -> str:
    # ASCII: a path may hold bytes that are no UTF-8.
    return json.dumps(dataclasses.asdict(file))


def _from_json(text: str) -> QueuedFile:
    fields: dict[str, Any] = json.loads(text)
    language, labels = fields["options"]["language"], fields["options"]["labels"]
    options = SendOptions(language, Labels(tuple(labels["tags"]), labels["metadata"]))
    return QueuedFile(**{**fields, "options": options})
