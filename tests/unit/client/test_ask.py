"""Asking: what is sent, what comes back, and what happens when it goes wrong."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.media.v1 import media_pb2, stream_pb2
from sensorium_client import AskOptions, Client, LiveMedia, MediaFile, SensoriumClientError, events
from sensorium_client.locators import TimeSpan

from tests.unit.client.fake_gateway import ConverseRequests, ConverseResponses, FakeGateway
from tests.unit.client.fake_messages import TRACE_ID, Context, abort, locator, turn_complete


async def test_answer_arrives_as_tokens_citations_and_timings(client: Client) -> None:
    got = [event async for event in client.ask("What is it?")]

    assert "".join(e.text for e in got if isinstance(e, events.Token)) == "A cat."
    (cited,) = [e for e in got if isinstance(e, events.Citation)]
    assert (cited.evidence.text, cited.evidence.modality, cited.evidence.origin, cited.basis) == (
        "tabby cat",
        "video",
        "label",
        "marker",
    )
    assert cited.evidence.locator.span == TimeSpan(1.5, 2.25)
    (complete,) = [e for e in got if isinstance(e, events.TurnComplete)]
    assert complete.timings.time_to_first_token_s == pytest.approx(0.4)
    assert complete.finish_reason == "stop"
    assert isinstance(got[0], events.Ready)
    assert got[0].trace_id == TRACE_ID
    assert isinstance(got[-1], events.Summary)


async def test_files_travel_whole_in_small_chunks_beside_the_question(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    big, small = tmp_path / "film.mp4", tmp_path / "note.txt"
    big.write_bytes(bytes(range(256)) * 900)
    small.write_bytes(b"hello")
    options = AskOptions(max_tokens=7, temperature=0.5, seed=3, recall=True, language="de")

    async for _ in client.ask("Both?", files=[big, str(small)], options=options):
        pass

    sent = {asset.start.name: asset for asset in gateway.assets.values()}
    assert bytes(sent["film.mp4"].data) == big.read_bytes()
    assert sent["film.mp4"].start.size_bytes == big.stat().st_size
    assert len(sent["film.mp4"].offsets) == 4
    assert bytes(sent["note.txt"].data) == b"hello"
    assert gateway.questions == ["Both?"]
    config = gateway.configs[0]
    assert (config.answer.max_tokens, config.answer.seed, config.answer.recall) == (7, 3, True)
    assert config.perception.language == "de"


async def test_words_being_said_are_asked_for_and_told(
    client: Client, gateway: FakeGateway
) -> None:
    async def guess(
        gateway: FakeGateway, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        gateway.configs.append((await anext(requests)).config)
        turn_id = (await anext(requests)).turn_id
        span = locator(1.0, 2.5).span
        for text, language in (("The lighthouse", "en"), ("", "")):
            words = media_pb2.Transcript(text=text, language=language)
            partial = pb.PartialTranscript(asset_id="a", span=span, transcript=words)
            yield pb.StreamingConverseResponse(turn_id=turn_id, partial_transcript=partial)
        yield pb.StreamingConverseResponse(turn_id=turn_id, turn_complete=turn_complete())

    gateway.converse = guess
    stream = client.ask("?", options=AskOptions(partial_transcripts=True))
    told = [event async for event in stream if isinstance(event, events.PartialTranscript)]
    assert gateway.configs[0].perception.partial_transcripts
    assert [(event.text, event.language) for event in told] == [("The lighthouse", "en"), ("", "")]
    assert told[0].span == TimeSpan(1.0, 2.5)


async def test_known_bytes_are_named_and_not_sent(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    known, fresh = tmp_path / "known.jpg", tmp_path / "fresh.jpg"
    known.write_bytes(b"known")
    fresh.write_bytes(b"fresh")
    digest = hashlib.sha256(b"known").hexdigest()
    gateway.stored[digest] = media_pb2.Asset(asset_id="second", sha256=digest, duplicate_of="first")

    got = [event async for event in client.ask("?", files=[known, fresh])]

    (skipped,) = [e for e in got if isinstance(e, events.AlreadyStored)]
    assert (skipped.name, skipped.asset_id) == ("known.jpg", "first")
    assert [asset.start.name for asset in gateway.assets.values()] == ["fresh.jpg"]
    assert gateway.asset_ids_asked == [["first"]]


async def test_known_bytes_are_sent_again_when_asked_to(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "again.jpg"
    file.write_bytes(b"again")
    for _ in range(2):
        async for _event in client.ask("?", [file], options=AskOptions(reuse_stored=False)):
            pass
    assert len(gateway.assets) == 2


async def test_live_source_is_sent_as_it_speaks(client: Client, gateway: FakeGateway) -> None:
    heard = asyncio.Event()

    async def microphone() -> AsyncIterator[bytes]:
        yield b"one"
        await heard.wait()
        yield b"two"

    async for event in client.ask("?", [LiveMedia("mic.wav", microphone())]):
        if isinstance(event, events.UploadOpened):
            # The second half exists only once the server has answered to the first.
            heard.set()
    (asset,) = gateway.assets.values()
    assert bytes(asset.data) == b"onetwo"
    assert asset.offsets == [0, 3]


async def test_paced_file_takes_its_time_and_arrives_whole(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    file = tmp_path / "speech.wav"
    file.write_bytes(b"s" * 5000)
    async for _ in client.ask("?", [MediaFile(file, duration_s=0.5)]):
        pass
    (asset,) = gateway.assets.values()
    assert bytes(asset.data) == file.read_bytes()
    assert asset.offsets == [0, 1000, 2000, 3000, 4000]


async def test_turns_share_one_stream(client: Client, gateway: FakeGateway) -> None:
    async with client.converse() as conversation:
        for question in ("One?", "Two?"):
            answer = [event async for event in conversation.ask(question)]
            assert isinstance(answer[-1], events.TurnComplete)
        await conversation.finish()
        rest = [event async for event in conversation.events()]
    assert gateway.questions == ["One?", "Two?"]
    assert len(gateway.configs) == 1
    assert isinstance(rest[-1], events.Summary)
    assert rest[-1].turn_count == 2


async def test_turn_can_be_cancelled(client: Client, gateway: FakeGateway) -> None:
    async with client.converse() as conversation:
        turn = conversation.begin_turn()
        await turn.send_text("Never mind")
        await turn.cancel()
        await conversation.finish()
        got = [event async for event in conversation.events()]
    assert gateway.cancel_turns == 1
    (complete,) = [e for e in got if isinstance(e, events.TurnComplete)]
    assert complete.finish_reason == "cancelled"


async def test_leaving_early_cancels_the_call(client: Client, gateway: FakeGateway) -> None:
    async def endless(
        gateway: FakeGateway, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        while True:
            yield pb.StreamingConverseResponse(token=pb.TokenChunk(text="on and "))

    gateway.converse = endless
    async with aclosing(client.ask("?")) as answer:
        async for event in answer:
            if isinstance(event, events.Token):
                break
    await asyncio.wait_for(gateway.ended.wait(), 60)


async def test_cancelled_task_cancels_the_call_while_it_still_sends(
    client: Client, gateway: FakeGateway
) -> None:
    started = asyncio.Event()

    async def silence() -> AsyncIterator[bytes]:
        started.set()
        await asyncio.Event().wait()
        yield b""

    async def ask() -> None:
        async for _ in client.ask("?", [LiveMedia("mic.wav", silence())]):
            pass

    task = asyncio.create_task(ask())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_failing_source_is_raised_and_ends_the_call(client: Client) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise OSError("microphone unplugged")

    with pytest.raises(OSError, match="unplugged"):
        async for _ in client.ask("?", [LiveMedia("mic.wav", broken())]):
            pass


async def test_missing_file_is_an_os_error(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async for _ in client.ask("?", [tmp_path / "absent.jpg"]):
            pass


@pytest.mark.parametrize("in_band", [True, False], ids=["told in band", "status only"])
async def test_early_error_reaches_a_client_that_is_still_writing(
    client: Client, gateway: FakeGateway, in_band: bool
) -> None:
    async def refuse(
        gateway: FakeGateway, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        await anext(requests)
        if in_band:
            error = stream_pb2.StreamError(
                code=11, reason="MEDIA_TOO_LONG", message="Too long.", subject="a"
            )
            yield pb.StreamingConverseResponse(error=error)
        await abort(context, 11, "MEDIA_TOO_LONG", "Too long.")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(64 << 10)
            await asyncio.sleep(0)

    gateway.converse = refuse
    for _ in range(30):
        with pytest.raises(SensoriumClientError) as caught:
            async for _event in client.ask("?", [LiveMedia("long.wav", endless())]):
                pass
        assert (caught.value.code, caught.value.reason) == ("OUT_OF_RANGE", "MEDIA_TOO_LONG")


async def test_the_error_of_a_file_has_its_name(client: Client, gateway: FakeGateway) -> None:
    async def refuse(
        gateway: FakeGateway, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        async for request in requests:
            if request.HasField("asset_start") and request.asset_start.name == "bad.wav":
                error = stream_pb2.StreamError(
                    code=3,
                    reason="MEDIA_UNREADABLE",
                    message="Damaged.",
                    subject=request.asset_start.asset_id,
                )
                yield pb.StreamingConverseResponse(error=error)
                await abort(context, 3, "MEDIA_UNREADABLE", "Damaged.")

    async def sound() -> AsyncIterator[bytes]:
        yield b"RIFF"

    gateway.converse = refuse
    with pytest.raises(SensoriumClientError) as caught:
        async for _event in client.ask(
            "?", [LiveMedia("good.wav", sound()), LiveMedia("bad.wav", sound())]
        ):
            pass
    assert caught.value.subject == "bad.wav"


async def test_rich_status_becomes_the_error(client: Client) -> None:
    with pytest.raises(SensoriumClientError) as caught:
        await client.caption(asset_id="unknown")
    error = caught.value
    assert (error.code, error.reason, error.message, error.subject, error.retry_after_s) == (
        "NOT_FOUND",
        "ASSET_UNKNOWN",
        "There is no such asset.",
        "asset_id",
        2.0,
    )


async def test_unreachable_server_is_said_so() -> None:
    async with Client("127.0.0.1:1") as client:
        assert not await client.is_serving()
        with pytest.raises(SensoriumClientError) as caught:
            async for _ in client.ask("?"):
                pass
    assert caught.value.code == "UNAVAILABLE"
    assert "reached" in caught.value.message


async def test_unknown_event_is_passed_over(client: Client, gateway: FakeGateway) -> None:
    async def newer(
        gateway: FakeGateway, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        async for request in requests:
            if request.WhichOneof("message") == "end_turn":
                yield pb.StreamingConverseResponse()
                yield pb.StreamingConverseResponse(
                    turn_id=request.turn_id, turn_complete=turn_complete()
                )

    gateway.converse = newer
    assert [event.type async for event in client.ask("?")] == ["turn_complete"]


async def test_call_carries_a_trace(client: Client, gateway: FakeGateway) -> None:
    async for _ in client.ask("?"):
        pass
    version, trace_id, span_id, flags = gateway.traceparents[0].split("-")
    assert (version, len(trace_id), len(span_id), flags) == ("00", 32, 16, "01")
