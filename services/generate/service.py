"""Generation and reading ahead: from protobuf and back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
from sensorium.generate.v1 import generate_pb2 as pb
from sensorium.generate.v1 import generate_pb2_grpc

from services.generate.backends.base import ChatMessage, GeneratedText, ScoredToken
from services.generate.engine import Engine
from services.generate.generation import Generation, Reading
from services.generate.sampling import Sampling
from services.runtime.calls import priority_of
from services.runtime.durations import to_duration
from services.runtime.errors import InvalidInput, OutOfOrder, Unavailable
from services.runtime.priority import Priority
from services.runtime.streams import Emit, duplex, open_stream
from services.runtime.telemetry import metrics, span

Requests = AsyncIterator[pb.StreamingGenerateRequest]
Response = pb.StreamingGenerateResponse
Context = grpc.aio.ServicerContext[pb.StreamingGenerateRequest, Response]

ROLES = {pb.ROLE_SYSTEM: "system", pb.ROLE_USER: "user", pb.ROLE_ASSISTANT: "assistant"}


class GenerateService(generate_pb2_grpc.GenerateServiceServicer):
    """Serves one engine; ``engine`` is set once its model is loaded."""

    def __init__(self, default_max_tokens: int) -> None:
        self.engine: Engine | None = None
        self._default_max_tokens = default_max_tokens

    async def StreamingGenerate(
        self, request_iterator: Requests, context: Context
    ) -> AsyncIterator[Response]:
        """See the proto."""
        config, requests = await open_stream(request_iterator)

        async def body(emit: Emit[Response]) -> None:
            await self._converse(config, requests, priority_of(context), emit)

        async with contextlib.aclosing(duplex(body)) as events:
            async for event in events:
                yield event

    async def ReadAhead(
        self,
        request: pb.ReadAheadRequest,
        context: grpc.aio.ServicerContext[pb.ReadAheadRequest, pb.ReadAheadResponse],
    ) -> pb.ReadAheadResponse:
        """See the proto."""
        config = request.config
        count, read = await self._loaded().read_ahead(
            config.model, _messages(config), request.context_lines
        )
        return pb.ReadAheadResponse(token_count=count, read_token_count=read)

    def _loaded(self) -> Engine:
        if self.engine is None:
            raise Unavailable("NOT_READY", "The language model is not loaded.", retry_after_s=1.0)
        return self.engine

    async def _converse(
        self,
        config: pb.GenerateConfig,
        requests: Requests,
        priority: Priority,
        emit: Emit[Response],
    ) -> None:
        engine = self._loaded()
        sampling = self._sampling(config.sampling)
        generation = await engine.open(config.model, _messages(config), sampling, priority)
        try:
            effective = _effective_config(engine.model.reference, sampling)
            await emit(Response(ready=pb.StreamReady(effective_config=effective)))
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(_tell_reading(generation.reading, emit))
                question = await _take_context(requests, generation)
                finished = False
                if question is not None:
                    finished = await _answer_or_cancel(question, requests, generation, emit)
                telling.cancel()
            await emit(Response(complete=_complete(generation, finished)))
            await emit(Response(summary=_summary(generation)))
        finally:
            _record(generation)
            await generation.close()

    def _sampling(self, options: pb.SamplingOptions) -> Sampling:
        return Sampling(
            max_tokens=options.max_tokens or self._default_max_tokens,
            temperature=options.temperature,
            top_p=options.top_p or 1.0,
            seed=options.seed if options.HasField("seed") else None,
            stop=tuple(options.stop),
            logprobs=options.logprobs,
        )


async def _take_context(requests: Requests, generation: Generation) -> str | None:
    """Take in context until the start, whose question is returned, or a cancel: None."""
    async for request in requests:
        match request.WhichOneof("message"):
            case "context_append":
                await generation.append(request.context_append.lines)
            case "context_reset":
                await generation.reset()
            case "start":
                return request.start.question
            case "cancel":
                return None
    raise OutOfOrder(
        "START_EXPECTED", "The stream ended before start; send start, then half-close."
    )


async def _tell_reading(reading: Reading, emit: Emit[Response]) -> None:
    """Tell how far the prompt is read, until cancelled."""
    while await reading.grown.wait():
        reading.grown.clear()
        await emit(
            Response(
                prompt_read=pb.PromptRead(
                    token_count=reading.token_count,
                    cached_token_count=reading.cached_token_count,
                )
            )
        )


async def _answer_or_cancel(
    question: str, requests: Requests, generation: Generation, emit: Emit[Response]
) -> bool:
    """Stream the answer until it ends, True, or the client cancels, False."""

    async def watch(answer: "asyncio.Task[None]") -> None:
        async for request in requests:
            if request.WhichOneof("message") != "cancel":
                raise OutOfOrder(
                    "START_ALREADY_SENT",
                    "After start only cancel may follow.",
                    subject=request.WhichOneof("message") or "",
                )
            answer.cancel()

    async with asyncio.TaskGroup() as group:
        answer = group.create_task(_answer(question, generation, emit))
        watcher = group.create_task(watch(answer))
        await asyncio.wait({answer})
        watcher.cancel()
    return not answer.cancelled()


async def _answer(question: str, generation: Generation, emit: Emit[Response]) -> None:
    pending = pb.TokenChunk()
    with span("generate.answer"):
        pieces = generation.answer(question)
        try:
            async for piece in pieces:
                _add(pending, piece)
                if piece.text:
                    await emit(Response(token=pending))
                    pending = pb.TokenChunk()
        finally:
            await pieces.aclose()


def _add(chunk: pb.TokenChunk, piece: GeneratedText) -> None:
    """Join steps whose text was held back to the chunk that brings their text."""
    chunk.text += piece.text
    chunk.token_count += piece.token_count
    chunk.logprobs.extend(_logprob(token) for token in piece.logprobs)
    if piece.alternatives:
        del chunk.alternatives[:]
        chunk.alternatives.extend(_logprob(token) for token in piece.alternatives)


def _logprob(token: ScoredToken) -> pb.TokenLogprob:
    return pb.TokenLogprob(text=token.text, logprob=token.logprob)


def _messages(config: pb.GenerateConfig) -> list[ChatMessage]:
    messages = []
    for index, message in enumerate(config.messages):
        subject = f"config.messages[{index}].role"
        role = ROLES.get(message.role)
        if role is None:
            raise InvalidInput("ROLE_MISSING", "A message must say who speaks.", subject=subject)
        if role == "system" and index:
            raise InvalidInput(
                "SYSTEM_NOT_FIRST", "Only the first message may be the system's.", subject=subject
            )
        if message.context_lines and role != "user":
            raise InvalidInput(
                "CONTEXT_NOT_USERS",
                "Only a user's message has lines of context.",
                subject=f"config.messages[{index}].context_lines",
            )
        messages.append(ChatMessage(role, message.content, tuple(message.context_lines)))
    return messages


def _effective_config(model: str, sampling: Sampling) -> pb.GenerateConfig:
    return pb.GenerateConfig(
        model=model,
        sampling=pb.SamplingOptions(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=sampling.stop,
            logprobs=sampling.logprobs,
        ),
    )


def _complete(generation: Generation, finished: bool) -> pb.Complete:
    usage = generation.usage
    reason = pb.FINISH_REASON_LENGTH if generation.reached_limit else pb.FINISH_REASON_STOP
    return pb.Complete(
        finish_reason=reason if finished else pb.FINISH_REASON_CANCELLED,
        usage=pb.Usage(
            prompt_token_count=usage.prompt_token_count,
            cached_token_count=usage.cached_token_count,
            completion_token_count=usage.completion_token_count,
        ),
    )


def _summary(generation: Generation) -> pb.GenerateSummary:
    timings = generation.timings
    summary = pb.GenerateSummary(
        prefill_ahead_time=to_duration(timings.prefill_ahead_s),
        decode_time=to_duration(timings.decode_s),
    )
    if timings.first_token_s is not None:
        summary.time_to_first_token.CopyFrom(to_duration(timings.first_token_s))
    return summary


def _record(generation: Generation) -> None:
    usage, timings = generation.usage, generation.timings
    metrics.tokens.add(usage.prompt_token_count, {"kind": "prompt"})
    metrics.tokens.add(usage.completion_token_count, {"kind": "completion"})
    if timings.first_token_s is not None:
        metrics.generation_latency.record(timings.first_token_s, {"phase": "ttft"})
        metrics.generation_latency.record(timings.total_s, {"phase": "total"})
