"""A conversation: turns one after another on one stream, each knowing the ones before."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from sensorium.gateway.v1 import gateway_pb2
from sensorium.generate.v1 import generate_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.admission import Admission
from services.gateway.conversations.memory import Exchange
from services.gateway.conversations.remembering import Conversations
from services.gateway.events import ConverseEvent, TurnEvents
from services.gateway.index_outcome import outcome
from services.gateway.ledger import AssetEntry
from services.gateway.perception import samples_as_usual
from services.gateway.pipeline import Turn, TurnMessage, TurnOptions, Walk
from services.gateway.reading_ahead import read_ahead
from services.runtime import telemetry
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput, OutOfOrder, SensoriumError
from services.runtime.status import item_error
from services.runtime.streams import Emit

ROLES = {
    gateway_pb2.SPEAKER_USER: generate_pb2.ROLE_USER,
    gateway_pb2.SPEAKER_ASSISTANT: generate_pb2.ROLE_ASSISTANT,
}
DEFAULT_LANGUAGE = "en"
TURN_ID_CHARACTERS_MAX = 64


class _OpenTurn:
    """A turn at work."""

    def __init__(self, turn_id: str, turn: Turn) -> None:
        self.turn_id = turn_id
        self.turn = turn
        self.task: asyncio.Task[None] | None = None
        self.ended = False
        self.cancelled = False


class Conversation:
    """One ``StreamingConverse`` from its config to its summary."""

    def __init__(
        self,
        walk: Walk,
        admission: Admission,
        conversations: Conversations,
        scope: CallScope,
        config: gateway_pb2.ConverseConfig,
        emit: Emit[ConverseEvent],
    ) -> None:
        self._walk = walk
        self._admission = admission
        self._memory = conversations.remembering(
            scope, config.conversation_id, _exchanges(config.history)
        )
        self._scope = scope
        self._config = config
        self._emit = emit
        self._open: _OpenTurn | None = None
        self._last_turn_id = ""
        self._reading_ahead: asyncio.Task[None] | None = None
        self._half_closed = False
        self._summary = gateway_pb2.ConverseSummary()

    async def run(self, messages: AsyncIterator[TurnMessage]) -> None:
        """Read to the client's half-close, answer every turn, and end with the summary."""
        await self._memory.check()
        ready = gateway_pb2.StreamReady(
            effective_config=self._effective_config(), trace_id=telemetry.current_trace_id()
        )
        await self._emit(ConverseEvent(ready=ready))
        async with asyncio.TaskGroup() as group:
            async for message in messages:
                await self._accept(message, group)
            self._half_closed = True
            self._stop_reading_ahead()
            if self._open and not self._open.ended:
                raise OutOfOrder(
                    "TURN_UNFINISHED",
                    "The stream ended before end_turn, so the turn was not answered.",
                    subject=self._open.turn_id,
                )
        await self._emit(ConverseEvent(summary=self._summary))

    def _effective_config(self) -> gateway_pb2.ConverseConfig:
        settings = self._walk.settings
        effective = gateway_pb2.ConverseConfig(
            answer=gateway_pb2.AnswerOptions(
                model=settings.language_model,
                max_tokens=settings.answer_tokens_max,
                top_p=1.0,
                evidence_token_budget=settings.evidence_token_budget,
            ),
            perception=gateway_pb2.PerceptionOptions(
                language=DEFAULT_LANGUAGE,
                frame_sampling=media_pb2.FrameSampling(
                    method=media_pb2.FRAME_SAMPLING_METHOD_UNIFORM,
                    frame_count_max=settings.frame_count_max,
                ),
            ),
        )
        # What the client left at zero keeps the default.
        effective.MergeFrom(self._config)
        effective.ClearField("history")
        return effective

    async def _accept(self, message: TurnMessage, group: asyncio.TaskGroup) -> None:
        """Hand one message to its turn. Waits for ingest's spool only, so that a
        cancel behind media is seen at once."""
        kind = message.WhichOneof("message")
        current = self._open or await self._begin(message, group)
        if current is None:
            return
        if message.turn_id != current.turn_id:
            raise OutOfOrder(
                "TURN_OPEN",
                "One turn is open at a time: wait for turn_complete or send cancel_turn.",
                subject=message.turn_id,
            )
        if kind == "cancel_turn":
            current.cancelled = True
            assert current.task is not None
            current.task.cancel()
            await asyncio.wait({current.task})
            return
        if current.ended:
            raise OutOfOrder(
                "TURN_ENDED",
                "After end_turn only cancel_turn may follow in a turn.",
                subject=message.turn_id,
            )
        if kind == "end_turn":
            current.ended = True
            current.turn.clock.last_byte()
        await current.turn.messages.put(message)

    async def _begin(self, message: TurnMessage, group: asyncio.TaskGroup) -> _OpenTurn | None:
        turn_id = message.turn_id
        if message.WhichOneof("message") == "cancel_turn":
            return None  # It crossed turn_complete on the way.
        if not 1 <= len(turn_id) <= TURN_ID_CHARACTERS_MAX:
            raise InvalidInput(
                "TURN_ID_INVALID", "turn_id must have 1 to 64 characters.", subject="turn_id"
            )
        if turn_id == self._last_turn_id:
            raise OutOfOrder(
                "TURN_OVER", "That turn is over; begin another with a new id.", subject=turn_id
            )
        self._stop_reading_ahead()
        events = TurnEvents(turn_id, self._emit)
        options = TurnOptions(answer=self._config.answer, perception=self._config.perception)
        current = _OpenTurn(turn_id, Turn(self._walk, self._scope, options, events))
        current.task = group.create_task(self._answer(current, events, group))
        self._open = current
        self._last_turn_id = turn_id
        # A task that is cancelled before its first step ends without a word.
        await asyncio.sleep(0)
        return current

    async def _answer(
        self, current: _OpenTurn, events: TurnEvents, group: asyncio.TaskGroup
    ) -> None:
        turn = current.turn
        try:
            await self._scope.account.begin()
            with self._admission.permit(self._scope):
                async with self._memory.turn() as remembered:
                    result = await turn.run(remembered.memory)
                    await remembered.keep(result, turn.ledger.committed())
        except (asyncio.CancelledError, BaseExceptionGroup):
            # What fails while a turn is being cancelled fails because of that.
            task = asyncio.current_task()
            assert task is not None
            # Not where the whole stream is cancelled as well: nobody would take what is told.
            if not current.cancelled or task.uncancel():
                raise
            complete = gateway_pb2.TurnComplete(
                finish_reason=gateway_pb2.TURN_FINISH_REASON_CANCELLED
            )
        else:
            complete = result.complete
            self._count(complete)
        finally:
            committed = turn.ledger.committed()
            if not samples_as_usual(self._config.perception):
                # One question's choice of frames is not what later ones rest on.
                for entry in committed:
                    entry.forget_pictures()
            # What is committed gets indexed, or marked as blocked, whatever became of the turn.
            language = self._config.perception.language
            found = asyncio.Event()
            jobs = [
                (entry, self._walk.indexer.submit(entry, self._scope, language, found))
                for entry in committed
            ]
        self._open = None
        if jobs and not self._half_closed:
            reading = read_ahead(self._walk, self._scope, self._config.answer, self._memory, found)
            self._reading_ahead = group.create_task(reading)
        await events.send(turn_complete=complete)
        for entry, job in jobs:
            group.create_task(self._tell_indexed(entry, job, events))

    def _stop_reading_ahead(self) -> None:
        if self._reading_ahead is not None:
            self._reading_ahead.cancel()

    def _count(self, complete: gateway_pb2.TurnComplete) -> None:
        self._summary.turn_count += 1
        usage, total = complete.usage, self._summary.usage
        for field in usage.DESCRIPTOR.fields:
            setattr(total, field.name, getattr(total, field.name) + getattr(usage, field.name))

    async def _tell_indexed(
        self, entry: AssetEntry, job: "asyncio.Task[int]", events: TurnEvents
    ) -> None:
        asset_id = entry.info.asset_id
        try:
            count = await outcome(job)
        except SensoriumError as error:
            await events.send(item_error=item_error(asset_id, error))
        else:
            indexed = gateway_pb2.AssetIndexed(asset_id=asset_id, document_count=count)
            await events.send(asset_indexed=indexed)


def _exchanges(history: Iterable[gateway_pb2.PriorMessage]) -> list[Exchange]:
    """What was said before, cut before each question. Raises InvalidInput SPEAKER_UNKNOWN."""
    exchanges: list[list[generate_pb2.Message]] = []
    for said in history:
        if said.speaker not in ROLES:
            raise InvalidInput(
                "SPEAKER_UNKNOWN",
                "Each message of the history is the user's or the assistant's.",
                subject="config.history.speaker",
            )
        asked = said.speaker == gateway_pb2.SPEAKER_USER
        if not exchanges or (asked and exchanges[-1][-1].role == generate_pb2.ROLE_ASSISTANT):
            exchanges.append([])
        message = generate_pb2.Message(role=ROLES[said.speaker], content=said.text)
        exchanges[-1].append(message)
    return [Exchange(tuple(exchange)) for exchange in exchanges]
