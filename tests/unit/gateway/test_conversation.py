"""A turn that is cancelled ends with a word, whenever it is; unless the whole stream ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.admission import Admission
from services.gateway.conversation import Conversation
from services.gateway.conversations.remembering import Conversations
from services.gateway.events import ConverseEvent
from services.gateway.indexing import Indexer
from services.gateway.pipeline import TurnMessage, Walk
from services.gateway.policy import load_policies
from services.gateway.responses import Responses
from services.gateway.stages import connect
from services.runtime.calls import CallScope
from services.runtime.streams import Emit
from tests.harness import make_settings

QUESTION = TurnMessage(turn_id="1", text=gateway_pb2.TextChunk(text="What is it?"))
CANCEL = TurnMessage(turn_id="1", cancel_turn=gateway_pb2.CancelTurn())
PATIENCE_S = 30.0


class Slow:
    """A memory whose turns never get further, and take their time to end."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.may_end = asyncio.Event()

    def remembering(self, *_: object) -> "Slow":
        """Itself, for every stream."""
        return self

    async def check(self) -> None:
        """There is nothing that could be missing."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Any]:
        """Never begins."""
        try:
            await asyncio.Event().wait()
            yield
        finally:
            self.ending.set()
            await self.may_end.wait()


@pytest.fixture
async def walk(tmp_path: Path) -> AsyncIterator[Walk]:
    settings = make_settings(tmp_path)
    stages, policies = connect(settings), load_policies(None)
    yield Walk(stages, Indexer(stages, policies), settings, policies, Responses(stages, settings))
    await stages.close()


def begun(
    walk: Walk, admission: Admission, memory: Slow, emit: Emit[ConverseEvent]
) -> Conversation:
    conversations = cast(Conversations, memory)
    config = gateway_pb2.ConverseConfig()
    return Conversation(walk, admission, conversations, CallScope(), config, emit)


async def sent(*messages: TurnMessage) -> AsyncIterator[TurnMessage]:
    for message in messages:
        yield message


async def test_a_turn_that_is_cancelled_before_its_first_step_is_told_of(walk: Walk) -> None:
    told: list[ConverseEvent] = []

    async def emit(event: ConverseEvent) -> None:
        told.append(event)

    memory = Slow()
    memory.may_end.set()
    conversation = begun(walk, Admission(1), memory, emit)
    async with asyncio.timeout(PATIENCE_S):
        await conversation.run(sent(QUESTION, CANCEL))
    assert [event.WhichOneof("event") for event in told] == ["ready", "turn_complete", "summary"]
    cancelled = gateway_pb2.TURN_FINISH_REASON_CANCELLED
    assert told[1].turn_complete.finish_reason == cancelled


async def test_a_stream_that_ends_while_its_turn_is_being_cancelled_waits_for_nobody(
    walk: Walk,
) -> None:
    async def emit(event: ConverseEvent) -> None:
        if event.WhichOneof("event") != "ready":
            await asyncio.Event().wait()  # the client has gone

    memory, admission = Slow(), Admission(1)
    conversation = begun(walk, admission, memory, emit)
    stream = asyncio.create_task(conversation.run(sent(QUESTION, CANCEL)))
    async with asyncio.timeout(PATIENCE_S):
        await memory.ending.wait()
    stream.cancel()
    done, _ = await asyncio.wait({stream}, timeout=PATIENCE_S)
    assert done
    assert admission.active == 0
