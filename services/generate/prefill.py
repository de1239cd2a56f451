"""Reading prompts into slots, one chunk a turn (chunked prefill, as in Sarathi-Serve, 2024).

Chunks end at multiples of CHUNK_TOKENS. The engine therefore evaluates a prompt
in the same batches whether it came whole or line by line, and its numbers, and
so the greedy tokens, are the same. Only what is read between two turns ends
where its lines do: the next question is all that is left to read then.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from weakref import WeakKeyDictionary

from services.generate.backends.base import LanguageModel
from services.generate.permits import Permits
from services.generate.slots import Lease, SlotPool, common_prefix_length
from services.runtime.priority import Priority

CHUNK_TOKENS = 32
"""0.2 to 0.4 s on two cores: what a cancel, or another stream's next token, waits for at most."""


def aligned(length: int) -> int:
    """The last chunk boundary at or before ``length``."""
    return length - length % CHUNK_TOKENS


class Prefiller:
    """Reads chunks; ``gate`` lets one prompt at a time do so, urgent ones first."""

    def __init__(self, model: LanguageModel, pool: SlotPool, gate: Permits) -> None:
        self.model = model
        self.gate = gate
        self._pool = pool
        self._background: WeakKeyDictionary[object, Lease] = WeakKeyDictionary()

    async def read(
        self, lease: Lease, tokens: Sequence[int], priority: Priority = Priority.NORMAL
    ) -> AsyncIterator[int]:
        """Read ``tokens`` into the lease's slot, a chunk a turn of the gate; after each, how many
        of them are read."""
        position = common_prefix_length(lease.slot.cached, tokens)
        while position < len(tokens):
            position = min(aligned(position) + CHUNK_TOKENS, len(tokens))
            await self.gate.acquire(urgent=True, priority=priority)
            await self._read_chunk(lease, tokens[:position])
            yield position

    async def read_spare(self, tokens: Sequence[int]) -> int:
        """Read all of ``tokens`` in the background, for as long as there is a slot that no stream
        wants; between two chunks it holds none.

        Returns how many of the tokens a slot has read then. Cancelling does not stop a chunk
        under way.
        """
        had = 0
        # Less than before: more conversations than slots, one would push out the other.
        while had <= (read := self._pool.cached_length(tokens)) < len(tokens):
            await self.gate.acquire(urgent=False)
            lease = self._pool.try_acquire(tokens)
            if lease is None:
                self.gate.release()
                break
            position = common_prefix_length(lease.slot.cached, tokens)
            had = min(aligned(position) + CHUNK_TOKENS, len(tokens))
            try:
                await self._read_chunk(lease, tokens[:had])
            finally:
                lease.release()
        return read

    async def read_next_chunk(self, tokens: Sequence[int], claimant: object) -> int:
        """Read one more whole chunk of ``tokens`` in the background, on the claimant's slot.

        Returns how many of the tokens that slot has then read. Cancelling does
        not stop a chunk under way: ``settled`` waits for it.
        """
        lease = await self._pool.acquire(tokens, urgent=False, claimant=claimant)
        self._background[claimant] = lease
        try:
            position = common_prefix_length(lease.slot.cached, tokens)
            boundary = aligned(position) + CHUNK_TOKENS
            if boundary > len(tokens):
                return position
            await self.gate.acquire(urgent=False)
            await self._read_chunk(lease, tokens[:boundary])
            return boundary
        finally:
            lease.release()

    async def settled(self, claimant: object) -> None:
        """Wait until no thread reads in the background for the claimant."""
        if lease := self._background.get(claimant):
            await lease.settled()

    async def _read_chunk(self, lease: Lease, tokens: Sequence[int]) -> None:
        """Read with the gate's permit, which is given back when the thread has read."""
        slot = lease.slot
        # Until the engine has answered, only what it held before is certain.
        slot.cached = slot.cached[: common_prefix_length(slot.cached, tokens)]

        def read() -> None:
            self.model.prefill(slot.index, tokens)
            # In the thread: it is true even if the caller has gone meanwhile.
            slot.cached = list(tokens)

        reading = lease.start(read)
        # Not when the caller is cancelled: the thread reads on to the end of the chunk.
        reading.add_done_callback(lambda _: self.gate.release())
        await asyncio.shield(reading)
