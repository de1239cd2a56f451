"""A client that goes away, at every stage of its turn: what it held is free again."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any
from uuid import uuid4

import av
import grpc
import pytest
from PIL import Image, ImageDraw, ImageFont
from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from sensorium_client import Client, events
from sensorium_client.options import AskOptions

from services.runtime.channel import open_channel
from tests import media
from tests.pipeline.platform import Platform, until
from tests.pipeline.streams import Converse, Upload, asset, end, in_turn, in_upload, text
from tests.pipeline.wire import wired

# Far less than what is under way would take to its own end.
FREE_WITHIN_S = 10.0
BUSY_WITHIN_S = 60.0
LONG_ANSWER = gateway_pb2.AnswerOptions(max_tokens=1500)
STORY = "Write a very long story about the sea, and do not stop."


class Victim:
    """A client in mid-stream. It writes without waiting, and reads all the time."""

    def __init__(self, call: Any, requests: Iterable[Any]) -> None:
        self.events: list[str] = []
        self.call = call
        self._writing = asyncio.create_task(self._write(requests))
        self._reading = asyncio.create_task(self._read())

    async def _write(self, requests: Iterable[Any]) -> None:
        for request in requests:
            await self.call.write(request)

    async def _read(self) -> None:
        async for event in self.call:
            self.events.append(event.WhichOneof("event"))

    async def gone(self) -> None:
        """Wait until it has noticed its own end, whatever that looks like."""
        await asyncio.gather(self._writing, self._reading, return_exceptions=True)

    @property
    def alive(self) -> bool:
        """Whether its stream goes on."""
        return not self._reading.done()


@contextlib.asynccontextmanager
async def victim(
    address: str, method: str, requests: Iterable[Any], timeout_s: float | None = None
) -> AsyncIterator[Victim]:
    async with open_channel(address) as channel:
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        one = Victim(getattr(stub, method)(timeout=timeout_s), requests)
        try:
            yield one
        finally:
            one.call.cancel()
            await one.gone()


def converse(*messages: Converse) -> list[Converse]:
    config = gateway_pb2.ConverseConfig(answer=LONG_ANSWER)
    return [Converse(config=config), *messages]


def upload(parts: Iterable[Any]) -> list[Upload]:
    return [Upload(config=gateway_pb2.UploadConfig()), *in_upload(parts)]


def film_of_pages() -> list[Any]:
    """Frames full of words, each another, in a film that never ends: minutes of reading."""
    buffer = io.BytesIO()
    font = ImageFont.load_default(size=22)
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(buffer, "w", format="mp4", options=options) as output:
        track = output.add_stream("libx264", rate=1)
        track.width, track.height, track.pix_fmt = 800, 600, "yuv420p"
        track.codec_context.gop_size = 1
        for number in range(100):
            page = Image.new("RGB", (800, 600), "white")
            draw = ImageDraw.Draw(page)
            for line in range(18):
                words = f"{number * 7919 + line * 104729} boats, {number} nets, line {line}"
                draw.text((30, 20 + line * 31), words, fill="black", font=font)
            output.mux(track.encode(av.VideoFrame.from_image(page)))  # type: ignore[no-untyped-call]
        output.mux(track.encode(None))
    return unfinished(buffer.getvalue())


def unfinished(content: bytes) -> list[Any]:
    """An asset whose end never comes: nothing of it is committed, its decoder waits for more."""
    return asset(uuid4().hex, content)[:-1]


def half_a_film() -> list[Any]:
    """A film that stops in the middle."""
    content = media.fragmented_mp4(8.0)
    return unfinished(content[: len(content) * 2 // 3])


def growing_recording() -> list[Any]:
    """A long recording that never ends."""
    return unfinished(media.endless_wav(media.speech_like(240.0)))


def reading_pages(platform: Platform, _: list[str]) -> bool:
    return platform.encode.ocr.running + platform.encode.ocr.pending >= 2


def listening(platform: Platform, _: list[str]) -> bool:
    return platform.encode.speech_english.running >= 1


def decoding_media(platform: Platform, seen: list[str]) -> bool:
    return platform.ingest.active_decoders == 1 and "progress" in seen


def answering(_: Platform, seen: list[str]) -> bool:
    return seen.count("token") >= 3


def prefilling(platform: Platform, seen: list[str]) -> bool:
    return platform.generate.active_slots == 1 and "token" not in seen


Reached = Callable[[Platform, list[str]], bool]
LONG_QUESTION = "".join(f"On day {n} the tide rose {n % 9} feet. " for n in range(200)) + "Why?"

STAGES: dict[str, tuple[str, Callable[[], list[Any]], Reached]] = {
    "decoding": (
        "StreamingConverse",
        lambda: converse(text("What is it?"), *in_turn(half_a_film())),
        decoding_media,
    ),
    "uploading": ("StreamingUpload", lambda: upload(half_a_film()), decoding_media),
    "encoding-pictures": ("StreamingUpload", lambda: upload(film_of_pages()), reading_pages),
    "encoding-sound": (
        "StreamingConverse",
        lambda: converse(text("What is said?"), *in_turn(growing_recording())),
        listening,
    ),
    "prefill": ("StreamingConverse", lambda: converse(text(LONG_QUESTION), end()), prefilling),
    "tokens": ("StreamingConverse", lambda: converse(text(STORY), end()), answering),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_killed_client_leaves_nothing_held(platform: Platform, stage: str) -> None:
    method, requests, reached = STAGES[stage]
    await platform.at_rest(BUSY_WITHIN_S)
    async with wired(platform.address) as wire, victim(wire.address, method, requests()) as one:
        await until(lambda: reached(platform, one.events), BUSY_WITHIN_S, stage)
        assert await platform.busy()
        assert one.alive
        wire.cut()
        await platform.at_rest(FREE_WITHIN_S)


@pytest.mark.parametrize("stage", ["decoding", "prefill", "tokens"])
async def test_a_cancelled_call_leaves_nothing_held(platform: Platform, stage: str) -> None:
    method, requests, reached = STAGES[stage]
    await platform.at_rest(BUSY_WITHIN_S)
    async with victim(platform.address, method, requests()) as one:
        await until(lambda: reached(platform, one.events), BUSY_WITHIN_S, stage)
        one.call.cancel()
        await platform.at_rest(FREE_WITHIN_S)


@pytest.mark.parametrize("stage", ["decoding", "tokens"])
async def test_a_passed_deadline_leaves_nothing_held(platform: Platform, stage: str) -> None:
    method, requests, reached = STAGES[stage]
    # On a busy machine it may not have come so far before the deadline.
    for timeout_s in (2.0, 8.0, 32.0):
        await platform.at_rest(BUSY_WITHIN_S)
        async with victim(platform.address, method, requests(), timeout_s=timeout_s) as one:
            await until(
                lambda: reached(platform, one.events) or not one.alive, BUSY_WITHIN_S, stage
            )
            came_so_far = one.alive
            await one.gone()
            assert await one.call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            await platform.at_rest(FREE_WITHIN_S)
        if came_so_far:
            return
    pytest.fail(f"not before any deadline: {stage}")


async def test_a_client_that_reads_nothing_and_is_killed_leaves_nothing_held(
    platform: Platform,
) -> None:
    await platform.at_rest(BUSY_WITHIN_S)
    async with wired(platform.address) as wire, open_channel(wire.address) as channel:
        call = gateway_pb2_grpc.GatewayServiceStub(channel).StreamingConverse()
        for request in converse(text(STORY), end()):
            await call.write(request)
        await until(lambda: platform.generate.active_slots == 1, BUSY_WITHIN_S, "answering")
        wire.cut()
        await platform.at_rest(FREE_WITHIN_S)


async def test_what_is_stored_is_indexed_though_the_client_is_gone(
    platform: Platform, client: Client
) -> None:
    picture = asset("left-behind", media.jpeg(401, 301), "left-behind.jpg")
    await platform.at_rest(BUSY_WITHIN_S)
    async with (
        wired(platform.address) as wire,
        victim(wire.address, "StreamingUpload", upload(picture)) as one,
    ):
        await until(lambda: "asset" in one.events, BUSY_WITHIN_S, "stored")
        wire.cut()

        async def found() -> bool:
            hits = await client.search(text="a picture", top_k=100)
            return any(hit.asset_id == "left-behind" for hit in hits)

        await until(found, BUSY_WITHIN_S, "indexed")
        await platform.at_rest(FREE_WITHIN_S)


# --- cancel_turn: the turn ends, the conversation goes on -------------------------------------


@pytest.mark.parametrize("stage", ["decoding", "encoding-sound", "prefill", "tokens"])
async def test_a_cancelled_turn_ends_and_the_next_is_answered(
    platform: Platform, stage: str
) -> None:
    _, requests, reached = STAGES[stage]
    await platform.at_rest(BUSY_WITHIN_S)
    cancel = Converse(turn_id="turn", cancel_turn=gateway_pb2.CancelTurn())
    async with open_channel(platform.address) as channel:
        call = gateway_pb2_grpc.GatewayServiceStub(channel).StreamingConverse()
        seen: list[gateway_pb2.StreamingConverseResponse] = []

        async def read() -> None:
            async for event in call:
                seen.append(event)

        reading = asyncio.create_task(read())
        for request in requests():
            await call.write(request)

        def now() -> bool:
            return reached(platform, [event.WhichOneof("event") or "" for event in seen])

        await until(now, BUSY_WITHIN_S, stage)
        await call.write(cancel)
        await platform.at_rest(FREE_WITHIN_S)
        await call.write(text("Is the sky blue? Say yes or no.", turn_id="next"))
        await call.write(end(turn_id="next"))
        await call.done_writing()
        await reading
    endings = {e.turn_id: e.turn_complete for e in seen if e.WhichOneof("event") == "turn_complete"}
    assert endings["turn"].finish_reason == gateway_pb2.TURN_FINISH_REASON_CANCELLED
    assert endings["next"].finish_reason == gateway_pb2.TURN_FINISH_REASON_STOP
    over = [e.WhichOneof("event") for e in seen].index("turn_complete")
    assert not [e for e in seen[over + 1 :] if e.turn_id == "turn"]
    assert seen[-1].summary.turn_count == 1


async def test_a_turn_cancelled_in_its_first_moment(client: Client) -> None:
    async with client.converse(AskOptions(max_tokens=8)) as conversation:
        for _ in range(20):
            turn = conversation.begin_turn()
            await turn.send_text("Never mind")
            await turn.cancel()
        last = [event async for event in conversation.ask("Is the sky blue?")]
        reasons = [e.finish_reason for e in last if isinstance(e, events.TurnComplete)]
        assert reasons[:-1] == ["cancelled"] * 20
        await conversation.finish()
