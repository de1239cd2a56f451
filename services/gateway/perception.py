"""Ingest and encode as one: bytes in, segments, vectors and observations out, all at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.metering.tally import MediaTally
from services.gateway.stages import Stages
from services.runtime.account import Account
from services.runtime.calls import (
    CallScope,
    StageStream,
    call_stage,
    call_unary,
    exchange,
    read_stage,
)
from services.runtime.status import from_item_error

IngestEvent = ingest_pb2.StreamingIngestResponse
EncodeEvent = encode_pb2.StreamingEncodeResponse
Tasks = Sequence[encode_pb2.EncodeTask.ValueType]

ANSWER_TASKS: Tasks = (
    encode_pb2.ENCODE_TASK_EMBED,
    encode_pb2.ENCODE_TASK_LABEL,
    encode_pb2.ENCODE_TASK_TRANSCRIBE,
)
"""What every answer waits for."""
READING_TASKS: Tasks = (encode_pb2.ENCODE_TASK_OCR,)
"""What only questions about writing wait for."""
ALL_TASKS: Tasks = (*ANSWER_TASKS, *READING_TASKS)
SEGMENT_CHARACTERS_MAX = 4000
"""Of a text; the vector is that of fewer."""


def encode_config(
    tasks: Tasks,
    language: str = "",
    *,
    word_times: bool = False,
    bulk: bool = False,
    moderated: Sequence[str] = (),
) -> encode_pb2.EncodeConfig:
    """Options of an encode call; ``moderated`` are the categories in which segments are scored."""
    return encode_pb2.EncodeConfig(
        tasks=(*tasks, encode_pb2.ENCODE_TASK_MODERATE) if moderated else tasks,
        language=language,
        word_times=word_times,
        bulk=bulk,
        moderation_categories=moderated,
    )


class Perception:
    """One open upload and the encode stream that follows it."""

    def __init__(
        self, ingest: StageStream[Any, Any], encode: StageStream[Any, Any], account: Account
    ) -> None:
        self._ingest = ingest
        self._encode = encode
        self._account = account

    async def send(self, message: ingest_pb2.StreamingIngestRequest) -> None:
        """Forward a chunk or a mark. Ingest spools to disk, so this hardly ever waits.

        Raises Overloaded where the tenant has no bytes left: at the latest before a finish, so
        that nothing is committed.
        """
        kind = message.WhichOneof("message")
        if kind == "chunk":
            await self._account.received(len(message.chunk.data))
        elif kind == "asset_finish":
            await self._account.settle()
        await self._ingest.send(message)

    async def done_sending(self) -> None:
        """No more media."""
        await self._ingest.done_sending()

    async def run(
        self,
        on_ingest: Callable[[IngestEvent], Awaitable[None]],
        on_encode: Callable[[EncodeEvent], Awaitable[None]],
        due: Callable[[media_pb2.MediaSegment], media_pb2.MediaSegment | None],
    ) -> None:
        """Walk every segment that is ``due`` from ingest to encode until both are done.

        Each segment is handed to ``on_ingest`` before encode may say anything of it.
        """

        async def read_encode() -> None:
            async for event in self._encode:
                self._account.used.cache_hit_count += event.summary.cache_hit_count
                await on_encode(event)

        tally = MediaTally(self._account)
        async with asyncio.TaskGroup() as group:
            group.create_task(read_encode())
            async for event in self._ingest:
                kind = event.WhichOneof("event")
                tally.note(event)
                if kind == "asset_info":
                    await self._account.settle()
                if kind == "audio_preview":
                    # For the client alone; neither ledger nor evidence get to know of it.
                    await self._encode.send(
                        encode_pb2.StreamingEncodeRequest(preview=event.audio_preview)
                    )
                    continue
                await on_ingest(event)
                if kind == "segment" and (segment := due(event.segment)) is not None:
                    await self._encode.send(encode_pb2.StreamingEncodeRequest(segment=segment))
            await self._encode.done_sending()


@contextlib.asynccontextmanager
async def open_perception(
    stages: Stages,
    scope: CallScope,
    ingest_config: ingest_pb2.IngestConfig,
    config: encode_pb2.EncodeConfig,
) -> AsyncIterator[Perception]:
    """Open both streams; leaving the block cancels what is not finished."""
    async with (
        call_stage(stages.ingest.StreamingIngest, scope) as ingest,
        call_stage(stages.encode.StreamingEncode, scope) as encode,
    ):
        await encode.send(encode_pb2.StreamingEncodeRequest(config=config))
        await ingest.send(ingest_pb2.StreamingIngestRequest(config=ingest_config))
        yield Perception(ingest, encode, scope.account)


def samples_as_usual(options: gateway_pb2.PerceptionOptions) -> bool:
    """Whether frames are chosen as the server does by itself."""
    sampling = options.frame_sampling
    usual = (
        media_pb2.FRAME_SAMPLING_METHOD_UNSPECIFIED,
        media_pb2.FRAME_SAMPLING_METHOD_UNIFORM,
    )
    return sampling.method in usual and not sampling.frame_count_max and not sampling.frame_rate_hz


def ingest_config(
    options: gateway_pb2.PerceptionOptions,
    scope: CallScope,
    *,
    words_held: bool,
    words_awaited: bool = True,
) -> ingest_pb2.IngestConfig:
    """Options of an ingest call. Where words are held until they are judged, none are guessed.
    Where nobody waits for the first of them, windows of sound are long."""
    return ingest_pb2.IngestConfig(
        frame_sampling=options.frame_sampling,
        user_id=scope.user_id,
        audio_previews=options.partial_transcripts and not words_held,
        long_audio_windows=not (words_awaited or options.partial_transcripts),
    )


def encode_segments(
    stages: Stages,
    scope: CallScope,
    config: encode_pb2.EncodeConfig,
    segments: AsyncIterable[media_pb2.MediaSegment],
) -> AsyncIterator[EncodeEvent]:
    """Encode segments as they come from an iterator."""

    async def requests() -> AsyncIterator[encode_pb2.StreamingEncodeRequest]:
        yield encode_pb2.StreamingEncodeRequest(config=config)
        async for segment in segments:
            yield encode_pb2.StreamingEncodeRequest(segment=segment)

    return exchange(stages.encode.StreamingEncode, scope, requests())


async def each(
    segments: Iterable[media_pb2.MediaSegment],
) -> AsyncIterator[media_pb2.MediaSegment]:
    """Segments at hand as ``encode_segments`` takes them; the source may shrink meanwhile."""
    for segment in list(segments):
        yield segment


async def segment_stored(
    stages: Stages, scope: CallScope, asset_id: str
) -> AsyncIterator[IngestEvent]:
    """Cut a stored asset again; the events are those of its upload, if nobody waited for words."""
    request = ingest_pb2.SegmentAssetRequest(asset_id=asset_id, long_audio_windows=True)
    async for event in read_stage(stages.ingest.SegmentAsset, request, scope):
        kind = event.WhichOneof("event")
        yield IngestEvent(**{kind: getattr(event, kind)})


async def embed_text(stages: Stages, scope: CallScope, text: str) -> media_pb2.Embedding:
    """The vector of a question or a query, of which the beginning counts."""
    segment = media_pb2.MediaSegment(
        segment_id="question/text/0",
        asset_id="question",
        kind=media_pb2.SEGMENT_KIND_TEXT_PASSAGE,
        text=text[:SEGMENT_CHARACTERS_MAX],
    )
    request = encode_pb2.EncodeRequest(
        config=encode_config((encode_pb2.ENCODE_TASK_EMBED,)), segments=[segment]
    )
    response = await call_unary(stages.encode.Encode, request, scope)
    for failure in response.item_errors:
        raise from_item_error(failure)
    embedding: media_pb2.Embedding = response.embeddings[0].embedding
    return embedding
