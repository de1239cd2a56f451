"""Turns of one conversation: on one stream, or in the database for as long as it is wanted."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from sensorium.media.v1 import media_pb2

from services.gateway.catalogue import find_assets_by_id
from services.gateway.conversations.details import (
    kept_citations,
    kept_details,
    kept_evidence,
)
from services.gateway.conversations.memory import Exchange, Memory, Thread, Threads, recent
from services.gateway.conversations.records import TurnRecord
from services.gateway.conversations.store import ConversationStore, busy, now_us
from services.gateway.ledger import AssetEntry
from services.gateway.outcome import TurnOutcome
from services.gateway.stages import Stages
from services.runtime import telemetry
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput


class Remembering(Protocol):
    """What remembers the turns of a conversation."""

    async def check(self) -> None:
        """Raises NotFound CONVERSATION_NOT_FOUND."""

    def turn(self) -> AbstractAsyncContextManager["OpenTurn"]:
        """The next turn, for as long as it is at work. Raises NotFound CONVERSATION_NOT_FOUND,
        OutOfOrder CONVERSATION_BUSY."""

    def thread(self) -> Thread:
        """What is at hand of the turns so far."""


class OpenTurn(Protocol):
    """A turn at work."""

    memory: Memory

    async def keep(self, outcome: TurnOutcome, entries: Sequence[AssetEntry]) -> None:
        """Remember the turn, which was answered; ``entries`` are of its own media. Raises as
        ``Remembering.turn``, where it was another one that was answered meanwhile."""


class StreamMemory:
    """Remembers the turns of one stream, until it ends."""

    def __init__(self, stages: Stages, scope: CallScope, history: Iterable[Exchange] = ()) -> None:
        self._stages = stages
        self._scope = scope
        self._thread = Thread(list(history))

    async def check(self) -> None:
        """There is nothing that could be missing."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["_StreamTurn"]:
        """See Remembering."""
        alive = await _alive(self._stages, self._scope, self._thread.entries)
        yield _StreamTurn(self._thread, _memory(self._thread, alive))

    def thread(self) -> Thread:
        """See Remembering."""
        return self._thread


class _StreamTurn:
    def __init__(self, thread: Thread, memory: Memory) -> None:
        self.memory = memory
        self._thread = thread

    async def keep(self, outcome: TurnOutcome, entries: Sequence[AssetEntry]) -> None:
        """See OpenTurn."""
        self._thread.add(_exchange(outcome), entries, afresh=outcome.read_afresh)


class Conversations:
    """The lasting conversations of a gateway."""

    def __init__(self, stages: Stages, store: ConversationStore) -> None:
        self.store = store
        self.threads = Threads()
        self._stages = stages
        self._held: set[tuple[str, str]] = set()

    def remembering(
        self, scope: CallScope, conversation_id: str, history: Sequence[Exchange] = ()
    ) -> Remembering:
        """What remembers a conversation; without an id, the turns of one stream, after what the
        client tells as said before. Raises InvalidInput HISTORY_TWICE."""
        if not conversation_id:
            return StreamMemory(self._stages, scope, history)
        if history:
            raise InvalidInput(
                "HISTORY_TWICE",
                "A conversation that lasts has its own history: send none with it.",
                subject="config.history",
            )
        return LastingMemory(self, self._stages, scope, conversation_id)

    @asynccontextmanager
    async def hold(self, tenant_id: str, conversation_id: str) -> AsyncIterator[None]:
        """Let no other turn of this gateway into a conversation. Raises OutOfOrder
        CONVERSATION_BUSY. A turn of another gateway is found out when it is stored."""
        key = (tenant_id, conversation_id)
        if key in self._held:
            raise busy()
        self._held.add(key)
        try:
            yield
        finally:
            self._held.discard(key)

    async def forget_asset(self, scope: CallScope, asset_id: str) -> None:
        """Have no conversation rest on an asset. Raises Unavailable DATABASE_UNAVAILABLE."""
        self.threads.forget_asset(scope.tenant_id, asset_id)
        await self.store.forget_asset(scope.tenant_id, asset_id)

    async def forget_deleted(self, scope: CallScope, asset_ids: Iterable[str]) -> None:
        """Forget those of the assets of a turn that was just stored that were deleted before: who
        deleted them did not find it. Raises Unavailable DATABASE_UNAVAILABLE."""
        named = list(asset_ids)
        alive = await find_assets_by_id(self._stages, scope, named)
        for asset_id in named:
            if asset_id not in alive:
                await self.forget_asset(scope, asset_id)


class LastingMemory:
    """Remembers the turns of one conversation in the database, its evidence as long as there is
    room for it."""

    def __init__(
        self, shared: Conversations, stages: Stages, scope: CallScope, conversation_id: str
    ) -> None:
        self._shared = shared
        self._stages = stages
        self._scope = scope
        self._conversation_id = conversation_id

    async def check(self) -> None:
        """See Remembering."""
        await self._shared.store.get(self._scope.tenant_id, self._conversation_id)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["_LastingTurn"]:
        """See Remembering."""
        tenant_id, conversation_id = self._scope.tenant_id, self._conversation_id
        async with self._shared.hold(tenant_id, conversation_id):
            created_us = now_us()
            known = await self._shared.store.recall(tenant_id, conversation_id)
            thread = self._shared.threads.get(tenant_id, conversation_id)
            if thread.turn_count != known.turn_count:
                # Another gateway, or this one before its restart, answered the last turn.
                thread = Thread(
                    [Exchange.of(*said) for said in known.exchanges],
                    thread.entries,
                    known.turn_count,
                )
            alive = await _alive(self._stages, self._scope, known.asset_ids)
            yield _LastingTurn(
                self._shared,
                self._scope,
                conversation_id,
                thread,
                _memory(thread, alive),
                created_us,
            )

    def thread(self) -> Thread:
        """See Remembering."""
        return self._shared.threads.get(self._scope.tenant_id, self._conversation_id)


class _LastingTurn:
    def __init__(
        self,
        shared: Conversations,
        scope: CallScope,
        conversation_id: str,
        thread: Thread,
        memory: Memory,
        created_us: int,
    ) -> None:
        self.memory = memory
        self._shared = shared
        self._scope = scope
        self._key = scope.tenant_id, conversation_id
        self._thread = thread
        self._created_us = created_us

    async def keep(self, outcome: TurnOutcome, entries: Sequence[AssetEntry]) -> None:
        """See OpenTurn."""
        record = TurnRecord(
            question=outcome.question,
            answer=outcome.answer,
            asset_ids=tuple(
                dict.fromkeys((*(entry.info.asset_id for entry in entries), *outcome.named_ids))
            ),
            citations=kept_citations(outcome.citations),
            evidence=kept_evidence(outcome.evidence),
            details=kept_details(outcome, telemetry.current_trace_id()),
            finish_reason=outcome.complete.finish_reason,
            create_time_us=self._created_us,
            complete_time_us=now_us(),
        )
        await self._shared.store.append(*self._key, self._thread.turn_count, record)
        self._thread.add(_exchange(outcome), entries, afresh=outcome.read_afresh)
        self._shared.threads.put(*self._key, self._thread)
        cited = (each.asset_id for each in record.citations)
        await self._shared.forget_deleted(self._scope, {*record.asset_ids, *cited})


async def _alive(
    stages: Stages, scope: CallScope, asset_ids: Sequence[str] | dict[str, AssetEntry]
) -> dict[str, media_pb2.Asset]:
    """Those of the assets that have not been deleted, in their order."""
    if not asset_ids:
        return {}
    found = await find_assets_by_id(stages, scope, list(asset_ids))
    return {asset_id: found[asset_id] for asset_id in asset_ids if asset_id in found}


def _memory(thread: Thread, alive: dict[str, media_pb2.Asset]) -> Memory:
    entries = {each: entry for each, entry in thread.entries.items() if each in alive}
    return Memory(
        recent(thread.exchanges),
        tuple(entries.values()),
        tuple(asset for asset_id, asset in alive.items() if asset_id not in entries),
        tuple(thread.ahead),
    )


def _exchange(outcome: TurnOutcome) -> Exchange:
    return Exchange.of(outcome.question, outcome.answer, outcome.parts)
