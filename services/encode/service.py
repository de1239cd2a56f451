"""The encode service: its three calls, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
from sensorium.encode.v1 import encode_pb2, encode_pb2_grpc
from sensorium.media.v1 import media_pb2

from services.encode.budget import ByteBudget
from services.encode.convert import (
    TASK_NUMBERS,
    TASKS,
    Event,
    item_error,
    to_events,
    to_partial,
    to_preview,
    to_segment,
    to_summary,
)
from services.encode.encoder import Encoder, Outcome, StreamState
from services.encode.engines import Engines
from services.encode.languages import AUTO, LANGUAGES
from services.encode.previews import Heard, PreviewListener, Previews
from services.encode.segments import PERCEIVING_TASKS, EncodeOptions, Segment, Task
from services.encode.similar import SimilarFrames
from services.runtime.calls import priority_of, tenant_id
from services.runtime.errors import InvalidInput, LimitExceeded, SensoriumError, Unavailable
from services.runtime.priority import Priority
from services.runtime.streams import Emit, duplex, open_stream

STREAM_BYTES = 16 << 20
"""Payloads that one stream may have under way."""
# So that a flood of tiny texts is bounded too: each counts as this much.
_SEGMENT_BYTES_MIN = 4 << 10
BATCH_SEGMENTS_MAX = 256
BATCH_BYTES_MAX = 3 << 20
FORGOTTEN_ASSETS_MAX = 1000
_RESPONSE_BYTES_MAX = 4_000_000

Context = grpc.aio.ServicerContext[Any, Any]


class EncodeServicer(encode_pb2_grpc.EncodeServiceServicer):
    """Serves encode calls once ``open`` gave it an encoder."""

    def __init__(self, default_space: str) -> None:
        self._space = default_space
        self._engines: Engines | None = None
        self._encoder: Encoder | None = None
        self._listener: PreviewListener | None = None

    def open(self, engines: Engines, encoder: Encoder) -> None:
        """Starts serving with loaded engines.

        Raises:
            InvalidInput: SPACE_UNKNOWN, where the default space is not theirs.
        """
        _check_space(self._space, engines)
        self._engines = engines
        self._encoder = encoder
        self._listener = PreviewListener(engines)

    async def StreamingEncode(
        self, requests: AsyncIterator[encode_pb2.StreamingEncodeRequest], context: Context
    ) -> AsyncIterator[Event]:
        """Segments in, results out, as they come."""
        config, messages = await open_stream(requests)
        options = self._options(config, context)
        yield Event(ready=encode_pb2.StreamReady(effective_config=self._echo(options)))
        state = StreamState()
        segment_count = 0

        async def body(emit: Emit[Event]) -> None:
            nonlocal segment_count
            budget = ByteBudget(STREAM_BYTES)
            similar = SimilarFrames()
            async with asyncio.TaskGroup() as group:
                previews = self._previews(options, state, emit, group)
                async for message in messages:
                    if message.WhichOneof("message") == "preview":
                        await _offer(previews, message.preview, emit)
                        continue
                    segment_count += 1
                    if message.segment.WhichOneof("payload") == "audio":
                        previews.overtake(message.segment.asset_id)
                    size_bytes = max(message.ByteSize(), _SEGMENT_BYTES_MIN)
                    await budget.acquire(size_bytes)
                    encoding = self._encode(message.segment, options, state, emit, similar)
                    task = group.create_task(encoding)
                    task.add_done_callback(lambda _, size=size_bytes: budget.release(size))  # type: ignore[misc]
                previews.close()

        async with contextlib.aclosing(duplex(body)) as events:
            async for event in events:
                yield event
        yield Event(summary=to_summary(segment_count, state))

    async def Encode(
        self, request: encode_pb2.EncodeRequest, context: Context
    ) -> encode_pb2.EncodeResponse:
        """A batch at once; results in the order of the request."""
        if len(request.segments) > BATCH_SEGMENTS_MAX or request.ByteSize() > BATCH_BYTES_MAX:
            raise LimitExceeded(
                "BATCH_TOO_LARGE",
                "A batch has at most 256 segments and 3 MiB; use StreamingEncode for more.",
                subject="segments",
            )
        options = self._options(request.config, context)
        state = StreamState()
        per_segment: list[list[Event]] = [[] for _ in request.segments]
        async with asyncio.TaskGroup() as group:
            for segment, events in zip(request.segments, per_segment, strict=True):
                encoding = self._encode(segment, options, state, _appender(events), SimilarFrames())
                group.create_task(encoding)
        response = encode_pb2.EncodeResponse()
        for event in (event for events in per_segment for event in events):
            match event.WhichOneof("event"):
                case "embedding":
                    response.embeddings.append(event.embedding)
                case "observation":
                    response.observations.append(event.observation)
                case "moderation":
                    response.moderations.append(event.moderation)
                case "item_error":
                    response.item_errors.append(event.item_error)
        if response.ByteSize() > _RESPONSE_BYTES_MAX:
            raise LimitExceeded(
                "RESPONSE_TOO_LARGE", "The results are too many for one message; stream them."
            )
        return response

    async def ListModels(
        self, request: encode_pb2.ListModelsRequest, context: Context
    ) -> encode_pb2.ListModelsResponse:
        """The loaded models."""
        engines, _ = self._opened()
        models = [
            encode_pb2.Model(
                ref=model.ref,
                task=TASK_NUMBERS[task],
                engine=model.engine,
                sha256=model.sha256,
                space=model.space,
                dimension=model.dimension,
            )
            for task, model in engines.descriptions()
        ]
        return encode_pb2.ListModelsResponse(models=models)

    async def ForgetAssets(
        self, request: encode_pb2.ForgetAssetsRequest, context: Context
    ) -> encode_pb2.ForgetAssetsResponse:
        """Drop what is cached of deleted assets."""
        _, encoder = self._opened()
        if len(request.asset_ids) > FORGOTTEN_ASSETS_MAX:
            raise LimitExceeded(
                "TOO_MANY_ASSETS",
                f"Name at most {FORGOTTEN_ASSETS_MAX} assets at once.",
                subject="asset_ids",
            )
        await encoder.forget(tenant_id(context), request.asset_ids)
        return encode_pb2.ForgetAssetsResponse()

    async def _encode(
        self,
        message: media_pb2.MediaSegment,
        options: EncodeOptions,
        state: StreamState,
        emit: Emit[Event],
        similar: SimilarFrames,
    ) -> None:
        """All the events of one segment, its completion last."""
        engines, encoder = self._opened()
        space = engines.text.description.space
        try:
            segment = to_segment(message)
        except SensoriumError as error:
            await emit(item_error(message.segment_id, error))
        else:

            async def report(outcome: Outcome) -> None:
                for event in to_events(outcome, message, space):
                    await emit(event)

            await encoder.encode(similar.resolve(segment), options, state, report)
        done = encode_pb2.SegmentComplete(segment_id=message.segment_id)
        await emit(Event(segment_complete=done))

    def _previews(
        self,
        options: EncodeOptions,
        state: StreamState,
        emit: Emit[Event],
        group: asyncio.TaskGroup,
    ) -> Previews:
        listener = self._listener
        assert listener is not None

        async def listen(preview: Segment) -> Heard | None:
            return await listener.hear(preview, options, state.languages, state.meter)

        async def tell(preview: Segment, heard: Heard) -> None:
            await emit(to_partial(heard, preview))

        return Previews(listener.turn, listen, tell, group)

    def _options(self, config: encode_pb2.EncodeConfig, context: Context) -> EncodeOptions:
        engines, _ = self._opened()
        _check_space(config.space or self._space, engines)
        for number in config.tasks:
            if number not in TASKS:
                raise InvalidInput(
                    "TASK_UNKNOWN", "There is no such encode task.", subject="config.tasks"
                )
        language = config.language or "en"
        if language != AUTO and language not in LANGUAGES:
            raise InvalidInput(
                "LANGUAGE_UNKNOWN",
                'The language is an ISO 639-1 code such as "en", or "auto".',
                subject="config.language",
            )
        moderated = engines.moderators.categories
        if unknown := sorted(set(config.moderation_categories) - moderated):
            raise InvalidInput(
                "CATEGORY_UNKNOWN",
                f"No classifier here scores {unknown[0]}, only {', '.join(sorted(moderated))}; "
                "SENSORIUM_MODERATION_MODELS_FILE adds others.",
                subject="config.moderation_categories",
            )
        return EncodeOptions(
            tenant=tenant_id(context),
            tasks=frozenset(TASKS[number] for number in config.tasks) or PERCEIVING_TASKS,
            language=language,
            word_times=config.word_times,
            priority=Priority.BULK if config.bulk else priority_of(context),
            moderation_categories=frozenset(config.moderation_categories) or moderated,
        )

    def _echo(self, options: EncodeOptions) -> encode_pb2.EncodeConfig:
        engines, _ = self._opened()
        return encode_pb2.EncodeConfig(
            space=engines.text.description.space,
            tasks=sorted(TASK_NUMBERS[task] for task in options.tasks),
            language=options.language,
            word_times=options.word_times,
            bulk=options.priority is Priority.BULK,
            moderation_categories=sorted(options.moderation_categories)
            if Task.MODERATE in options.tasks
            else (),
        )

    def _opened(self) -> tuple[Engines, Encoder]:
        if self._engines is None or self._encoder is None:
            raise Unavailable("NOT_READY", "The models are not loaded yet.", retry_after_s=1.0)
        return self._engines, self._encoder


async def _offer(previews: Previews, message: media_pb2.AudioPreview, emit: Emit[Event]) -> None:
    try:
        previews.offer(to_preview(message))
    except SensoriumError as error:
        await emit(item_error(message.segment_id, error))


def _check_space(space: str, engines: Engines) -> None:
    known = engines.text.description.space
    if space != known:
        raise InvalidInput(
            "SPACE_UNKNOWN", f"The loaded models make vectors of {known}.", subject="config.space"
        )


def _appender(events: list[Event]) -> Emit[Event]:
    async def append(event: Event) -> None:
        events.append(event)

    return append
