"""The generation of one answer: its prompt grows, it is asked, and its tokens go on their way."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from sensorium.gateway.v1 import gateway_pb2
from sensorium.generate.v1 import generate_pb2

from services.gateway.answer import AnswerRelay
from services.gateway.conversations.memory import Memory
from services.gateway.responses import Prompt, Response, Responses
from services.gateway.timings import TurnClock
from services.runtime.calls import CallScope, StageStream
from services.runtime.errors import InternalFailure, SensoriumError

Request = generate_pb2.StreamingGenerateRequest


def told_before(
    options: gateway_pb2.AnswerOptions, memory: Memory
) -> Iterator[generate_pb2.Message]:
    """What the model is told before a turn: instructions, and the turns before it."""
    if options.instructions:
        yield generate_pb2.Message(role=generate_pb2.ROLE_SYSTEM, content=options.instructions)
    yield from memory.messages()


class Generation:
    """Tells the client what the model says, or said before to exactly this prompt.

    ``given_before`` tells which, once it was asked.
    """

    def __init__(
        self,
        stream: StageStream[Any, Any],
        scope: CallScope,
        answer: AnswerRelay,
        clock: TurnClock,
        responses: Responses,
    ) -> None:
        self.stream = stream
        self.answer = answer
        self.given_before: Response | None = None
        self._scope = scope
        self._clock = clock
        self._responses = responses
        self._config = generate_pb2.GenerateConfig()
        self._effective: asyncio.Future[generate_pb2.GenerateConfig] = (
            asyncio.get_running_loop().create_future()
        )
        self._prompt: Prompt | None = None
        self._tokens: list[generate_pb2.TokenChunk] = []

    async def open(self, config: generate_pb2.GenerateConfig) -> None:
        """Send what came before this turn: the model reads it at once."""
        self._config = config
        await self.stream.send(Request(config=config))

    async def ask(self, question: str, lines: Sequence[str], *, read_afresh: bool) -> None:
        """The context, ``lines``, is sent: have the question answered."""
        if self._responses.keeps(self._config.sampling):
            effective = await self._effective
            self._prompt = Prompt(effective, self._config.messages, read_afresh, lines, question)
            self.given_before = await self._responses.find(self._scope, self._prompt)
        if self.given_before:
            await self._stop()
        else:
            start = generate_pb2.GenerateStart(question=question)
            await self.stream.send(Request(start=start))

    async def read(self) -> generate_pb2.Complete:
        """Relay the tokens to the end, and tell how it ended."""
        complete: generate_pb2.Complete | None = None
        read = generate_pb2.PromptRead()
        used, told = self._scope.account.used, 0
        try:
            async for event in self.stream:
                kind = event.WhichOneof("event")
                if kind == "ready":
                    self._effective.set_result(event.ready.effective_config)
                elif kind == "prompt_read":
                    read = event.prompt_read
                elif kind == "token":
                    # As they come: whoever cancels has taken them.
                    used.completion_token_count += event.token.token_count
                    told += event.token.token_count
                    self._tokens.append(event.token)
                    await self._relay(event.token)
                elif kind == "complete":
                    complete = event.complete
                    used.prompt_token_count += complete.usage.prompt_token_count
                    used.cached_token_count += complete.usage.cached_token_count
                    used.completion_token_count += complete.usage.completion_token_count - told
        finally:
            if complete is None:
                # Whoever cancels, or is cut off, has had so much read.
                used.prompt_token_count += read.token_count
                used.cached_token_count += read.cached_token_count
        if complete is None:
            raise InternalFailure(
                "STAGE_ENDED", "generate ended without an answer.", subject="generate"
            )
        if self.given_before:
            complete = self.given_before.complete
            for token in self.given_before.tokens:
                await self._relay(token)
        await self.answer.finish()
        return complete

    def keep(self, complete: generate_pb2.Complete, asset_ids: frozenset[str]) -> None:
        """Keep the answer for when the same is asked again; ``asset_ids`` are those that its
        evidence was of."""
        if self._prompt and not self.given_before and not self.answer.blocked:
            response = Response(self._tokens, complete, asset_ids)
            self._responses.keep(self._scope, self._prompt, response)

    async def _relay(self, token: generate_pb2.TokenChunk) -> None:
        if self.answer.blocked:
            return
        self._clock.stage("generate")
        await self.answer.add(token)
        if self.answer.blocked and not self.given_before:
            await self._stop()

    async def _stop(self) -> None:
        """Free the slot. The stage still tells what was used."""
        # One that has just ended needs no cancel.
        with contextlib.suppress(SensoriumError):
            await self.stream.send(Request(cancel=generate_pb2.Cancel()))
