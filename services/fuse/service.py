"""FuseService: protobuf in, protobuf out."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Iterator

import grpc
from sensorium.fuse.v1 import fuse_pb2, fuse_pb2_grpc

from services.fuse import convert
from services.fuse.session import FuseOptions, FusionSession
from services.fuse.vectors import VectorSpace
from services.runtime.errors import InvalidInput, OutOfOrder
from services.runtime.streams import open_stream
from services.runtime.telemetry import span

Request = fuse_pb2.StreamingFuseRequest
Response = fuse_pb2.StreamingFuseResponse

TOKEN_BUDGET_MAX = 32_768
# After finish only the half-close is left to come; a client that forgets it
# gets its summary all the same.
HALF_CLOSE_WAIT_S = 1.0


class FuseService(fuse_pb2_grpc.FuseServiceServicer):
    """Fuses the evidence of a turn; ``defaults`` fill in what a config leaves 0."""

    def __init__(self, defaults: FuseOptions) -> None:
        self._defaults = defaults

    async def StreamingFuse(
        self,
        request_iterator: AsyncIterator[Request],
        context: grpc.aio.ServicerContext[Request, Response],
    ) -> AsyncIterator[Response]:
        """See fuse.proto."""
        config, messages = await open_stream(request_iterator)
        options = self._options(config)
        session, space = FusionSession(options), VectorSpace()
        effective = fuse_pb2.FuseConfig(
            token_budget=options.token_budget, temperature=options.temperature
        )
        yield Response(ready=fuse_pb2.StreamReady(effective_config=effective))
        async for message in messages:
            if message.WhichOneof("message") == "finish":
                async for event in _finish(session, space, message.finish, messages):
                    yield event
                return
            _apply(session, space, message)
            for event in _parts(session):
                yield event
        raise OutOfOrder(
            "FINISH_EXPECTED", "The stream was closed before finish; nothing was fused."
        )

    def _options(self, config: fuse_pb2.FuseConfig) -> FuseOptions:
        if config.token_budget > TOKEN_BUDGET_MAX:
            raise InvalidInput(
                "TOKEN_BUDGET_TOO_LARGE",
                f"A context has at most {TOKEN_BUDGET_MAX} tokens.",
                subject="config.token_budget",
            )
        if not math.isfinite(config.temperature) or config.temperature < 0:
            raise InvalidInput(
                "TEMPERATURE_INVALID",
                "The temperature must be above 0, or 0 for the default.",
                subject="config.temperature",
            )
        # Below a thousandth of a cosine only rounding would decide.
        temperature = max(config.temperature, 1e-3) if config.temperature else 0.0
        return FuseOptions(
            token_budget=config.token_budget or self._defaults.token_budget,
            temperature=temperature or self._defaults.temperature,
            earlier=tuple(map(convert.read_part, config.earlier_parts)),
        )


def _apply(session: FusionSession, space: VectorSpace, message: Request) -> None:
    match message.WhichOneof("message"):
        case "asset_info":
            session.add_asset(convert.read_asset(message.asset_info))
        case "segment_pending":
            session.add_segment(convert.read_segment(message.segment_pending))
        case "segment_vector":
            segment_id = message.segment_vector.segment_id
            vector = convert.read_vector(message.segment_vector.embedding, space, segment_id)
            session.add_segment_vector(segment_id, vector)
        case "observation":
            session.add_piece(convert.read_observation(message.observation, space))
        case "segment_encoded":
            session.end_segment(message.segment_encoded.segment_id)
        case "segments_complete":
            session.complete_asset(message.segments_complete.asset_id)
        case "recalled":
            session.add_recalled(*convert.read_recalled(message.recalled, space))


def _parts(session: FusionSession) -> Iterator[Response]:
    for part in session.take_parts():
        yield Response(context_part=convert.write_part(part))


async def _finish(
    session: FusionSession,
    space: VectorSpace,
    finish: fuse_pb2.FuseFinish,
    messages: AsyncIterator[Request],
) -> AsyncIterator[Response]:
    question = convert.read_optional_vector(finish.question_embedding, space, "finish")
    focus = convert.read_focus(finish, space)
    with span("fuse.finish") as current:
        fused = await asyncio.to_thread(session.finish, question, focus)
        current.set_attribute("evidence_count", fused.piece_count)
        current.set_attribute("token_count", fused.token_count)
    yield Response(fused_context=convert.write_fused(fused, space))
    with contextlib.suppress(TimeoutError, StopAsyncIteration):
        # wait_for of Python 3.11 may lose a cancel.
        async with asyncio.timeout(HALF_CLOSE_WAIT_S):
            await anext(messages)
        raise OutOfOrder("MESSAGE_AFTER_FINISH", "finish must be the last message of the stream.")
    yield Response(
        summary=fuse_pb2.FuseSummary(
            evidence_count=fused.piece_count,
            selected_count=fused.selected_count,
            token_count=fused.token_count,
        )
    )
