"""The encode service over a real channel, with fakes for models."""

import asyncio
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sensorium.encode.v1 import encode_pb2, encode_pb2_grpc
from sensorium.media.v1 import media_pb2

from services.encode.joint import SPACE
from services.encode.segments import Box, ReadLine, ReadPage, SpokenWord, Utterance
from services.encode.stage import build
from services.runtime.errors import InvalidInput
from tests.contract.encode.messages import (
    Event,
    audio_segment,
    image_segment,
    preview,
    requests,
    seconds,
    text_segment,
)
from tests.fakes import DIMENSION, FakeEncoder, fake_vector
from tests.harness import make_settings, serve_stage

# Known to the type checker only: at run time there is one stub class for both kinds of channel.
if TYPE_CHECKING:
    Stub = encode_pb2_grpc.EncodeServiceAsyncStub
else:
    Stub = encode_pb2_grpc.EncodeServiceStub


async def events_of(
    stub: Stub,
    *segments: media_pb2.MediaSegment,
    config: encode_pb2.EncodeConfig | None = None,
) -> list[Event]:
    return [event async for event in stub.StreamingEncode(requests(segments, config))]


async def read(call: Any) -> Event:
    event = await call.read()
    assert isinstance(event, Event)
    return event


def only(events: list[Event], name: str) -> list[Event]:
    return [event for event in events if event.WhichOneof("event") == name]


def reason_of(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "sensorium"
    return str(info.reason)


async def test_ready_comes_first_with_the_defaults_and_summary_last(stub: Stub) -> None:
    events = await events_of(stub, text_segment(0, "hello"), image_segment(0))
    ready = events[0].ready.effective_config
    assert ready.space == SPACE
    assert ready.language == "en"
    assert list(ready.tasks) == [1, 2, 3, 4]
    summary = events[-1].summary
    assert summary.segment_count == 2
    assert (summary.cache_hit_count, summary.cache_miss_count) == (0, 4)
    assert summary.compute_time.ToMicroseconds() > 0


async def test_every_task_ends_once_and_then_its_segment(stub: Stub) -> None:
    segments = [*(image_segment(i) for i in range(5)), text_segment(0, "a"), audio_segment(0, 2)]
    events = await events_of(stub, *segments)
    ended: dict[str, list[int]] = defaultdict(list)
    over: set[str] = set()
    for event in events[1:-1]:
        body = getattr(event, event.WhichOneof("event") or "")
        assert body.segment_id not in over, "nothing may follow a segment's completion"
        if event.WhichOneof("event") == "task_complete":
            ended[body.segment_id].append(body.task)
        if event.WhichOneof("event") == "segment_complete":
            over.add(body.segment_id)
    assert over == {segment.segment_id for segment in segments}
    assert ended["film/frame/3"] == [1, 2, 3]
    assert ended["doc/text/0"] == [1]
    assert ended["talk/audio/0"] == [4]


async def test_results_come_while_the_client_still_sends(stub: Stub) -> None:
    call = stub.StreamingEncode()
    await call.write(encode_pb2.StreamingEncodeRequest(config=encode_pb2.EncodeConfig()))
    for index in range(3):
        segment = text_segment(index, f"passage {index}")
        await call.write(encode_pb2.StreamingEncodeRequest(segment=segment))
        while True:
            event = await read(call)
            if event.WhichOneof("event") == "segment_complete":
                break
        assert event.segment_complete.segment_id == f"doc/text/{index}"
    await call.done_writing()
    last = await read(call)
    assert last.summary.segment_count == 3


async def test_a_slow_picture_does_not_hold_up_a_text(stub: Stub, fake: FakeEncoder) -> None:
    fake.classifier.gate.clear()
    call = stub.StreamingEncode(requests([image_segment(0), text_segment(0, "quick")]))
    finished = []
    async for event in call:
        if event.WhichOneof("event") == "segment_complete":
            finished.append(event.segment_complete.segment_id)
            fake.classifier.gate.set()
    assert finished == ["doc/text/0", "film/frame/0"]


async def test_a_text_gives_a_vector_and_a_passage_with_its_place(stub: Stub) -> None:
    events = await events_of(stub, text_segment(0, "the old harbour"))
    (embedding,) = only(events, "embedding")
    vector = np.frombuffer(embedding.embedding.embedding.data, "<f4")
    assert embedding.embedding.embedding.dimension == DIMENSION
    assert vector @ fake_vector("the old harbour") == pytest.approx(1, abs=1e-5)
    (observation,) = only(events, "observation")
    assert observation.observation.passage.text == "the old harbour"
    assert observation.observation.observation_id == "doc/text/0#embed/0"
    assert observation.observation.locator.chars.start == 10
    assert observation.observation.embedding == embedding.embedding.embedding


async def test_text_in_a_picture_is_placed_in_the_source(stub: Stub, fake: FakeEncoder) -> None:
    line = ReadLine("EXIT", 0.8, Box(10, 20, 30, 10))
    fake.ocr.respond = lambda _: ReadPage((line,), 100, 50)
    config = encode_pb2.EncodeConfig(tasks=[encode_pb2.ENCODE_TASK_OCR])
    events = await events_of(stub, image_segment(0), config=config)
    (event,) = only(events, "observation")
    observation = event.observation
    assert observation.ocr_line.text == "EXIT"
    region = observation.locator.region
    place = (region.left_px, region.top_px, region.width_px, region.height_px)
    assert place == (1040, 580, 120, 40)
    assert observation.locator.span.start.seconds == 7
    assert observation.confidence == pytest.approx(0.8)


async def test_a_label_has_the_place_of_its_segment(stub: Stub) -> None:
    config = encode_pb2.EncodeConfig(tasks=[encode_pb2.ENCODE_TASK_LABEL])
    (event,) = only(await events_of(stub, image_segment(0), config=config), "observation")
    assert event.observation.label.text == "tabby (cat, animal)"
    assert event.observation.locator == image_segment(0).locator


async def test_speech_is_placed_in_the_asset_and_kept_inside_its_window(
    stub: Stub, fake: FakeEncoder
) -> None:
    words = (SpokenWord("hello", 0.5, 0.9, 0.7), SpokenWord("you", 1.0, 9.0, 0.6))
    fake.speech.respond = lambda speech: (
        Utterance("hello you", "en", 0.5, 9.0, 0.9, words if speech.word_times else ()),
    )
    config = encode_pb2.EncodeConfig(word_times=True)
    (event,) = only(await events_of(stub, audio_segment(30, 32), config=config), "observation")
    transcript, span = event.observation.transcript, event.observation.locator.span
    assert (span.start.ToMilliseconds(), span.end.ToMilliseconds()) == (30_500, 32_000)
    times = [(w.span.start.ToMilliseconds(), w.span.end.ToMilliseconds()) for w in transcript.words]
    assert times == [(30_500, 30_900), (31_000, 32_000)]
    assert transcript.language == "en"
    assert transcript.text == "hello you"


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.ClearField("segment_id"),
        lambda s: s.ClearField("kind"),
        lambda s: s.ClearField("image"),
        lambda s: s.MergeFrom(media_pb2.MediaSegment(text="not a picture")),
    ],
    ids=["no id", "no kind", "no payload", "wrong payload"],
)
async def test_a_malformed_segment_fails_alone(stub: Stub, change: object) -> None:
    bad = image_segment(0)
    assert callable(change)
    change(bad)
    events = await events_of(stub, bad, text_segment(0, "still served"))
    (failed,) = only(events, "item_error")
    assert failed.item_error.item_id == bad.segment_id
    assert failed.item_error.error.reason == "SEGMENT_MALFORMED"
    assert failed.item_error.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert len(only(events, "embedding")) == 1
    assert len(only(events, "segment_complete")) == 2


async def test_a_failing_model_fails_its_task_and_the_task_still_ends(
    stub: Stub, fake: FakeEncoder
) -> None:
    fake.classifier.fail = lambda raw: (
        InvalidInput("IMAGE_UNDECODABLE", "No picture.") if raw == b"bad" else None
    )
    events = await events_of(stub, image_segment(0, b"bad"), image_segment(1, b"good"))
    errors = [event.item_error for event in only(events, "item_error")]
    assert [(e.item_id, e.error.reason) for e in errors] == [
        ("film/frame/0", "IMAGE_UNDECODABLE"),
        ("film/frame/0", "IMAGE_UNDECODABLE"),
    ]
    assert len(only(events, "task_complete")) == 6
    assert events[-1].summary.segment_count == 2


async def test_a_segment_past_the_limits_fails_alone(stub: Stub) -> None:
    long_text, big_image = text_segment(0, "x" * 4001), image_segment(0, bytes((1 << 20) + 1))
    events = await events_of(stub, long_text, big_image)
    reasons = [event.item_error.error.reason for event in only(events, "item_error")]
    assert reasons == ["SEGMENT_TOO_LARGE"] * 2


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (encode_pb2.EncodeConfig(space="clip-vit-l-14"), "SPACE_UNKNOWN"),
        (encode_pb2.EncodeConfig(language="klingon"), "LANGUAGE_UNKNOWN"),
        (encode_pb2.EncodeConfig(moderation_categories=["rude"]), "CATEGORY_UNKNOWN"),
        # The kit has no classifier of it.
        (encode_pb2.EncodeConfig(moderation_categories=["violence"]), "CATEGORY_UNKNOWN"),
        (encode_pb2.EncodeConfig(tasks=[encode_pb2.ENCODE_TASK_UNSPECIFIED]), "TASK_UNKNOWN"),
        (encode_pb2.EncodeConfig(tasks=[99]), "TASK_UNKNOWN"),  # type: ignore[list-item]
    ],
)
async def test_unknown_names_are_refused_in_the_stream_and_in_the_status(
    stub: Stub, config: encode_pb2.EncodeConfig, reason: str
) -> None:
    call = stub.StreamingEncode(requests([text_segment(0, "x")], config))
    events = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in call:
            events.append(event)
    assert [event.error.reason for event in events] == [reason]
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value) == reason
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Encode(encode_pb2.EncodeRequest(config=config))
    assert reason_of(caught.value) == reason


async def test_the_first_message_must_be_the_config(stub: Stub) -> None:
    async def wrong() -> object:
        yield encode_pb2.StreamingEncodeRequest(segment=text_segment(0, "x"))

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.StreamingEncode(wrong()):  # type: ignore[arg-type]
            pass
    assert reason_of(caught.value) == "CONFIG_EXPECTED"


async def test_a_batch_answers_in_the_order_of_the_request(stub: Stub, fake: FakeEncoder) -> None:
    fake.text.fail = lambda text: (
        InvalidInput("TEXT_EMPTY", "Empty.") if text == "passage 7" else None
    )
    segments = [text_segment(i, f"passage {i}") for i in range(40)]
    response = await stub.Encode(encode_pb2.EncodeRequest(segments=segments))
    expected = [f"doc/text/{i}" for i in range(40) if i != 7]
    assert [embedding.segment_id for embedding in response.embeddings] == expected
    assert [observation.segment_id for observation in response.observations] == expected
    assert [(e.item_id, e.error.reason) for e in response.item_errors] == [
        ("doc/text/7", "TEXT_EMPTY")
    ]


async def test_a_batch_too_large_is_refused(stub: Stub) -> None:
    segments = [text_segment(i, "x") for i in range(257)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Encode(encode_pb2.EncodeRequest(segments=segments))
    assert reason_of(caught.value) == "BATCH_TOO_LARGE"


async def test_tenants_share_no_cache(stub: Stub, fake: FakeEncoder) -> None:
    async def cached_by(tenant: str) -> list[bool]:
        call = stub.StreamingEncode(
            requests([text_segment(0, "same")]), metadata=(("sensorium-tenant", tenant),)
        )
        return [
            event.task_complete.cached
            async for event in call
            if event.WhichOneof("event") == "task_complete"
        ]

    assert await cached_by("one") == [False]
    assert await cached_by("one") == [True]
    assert await cached_by("two") == [False]


async def until_pending(fake: FakeEncoder, count: int) -> None:
    """Waits until so many texts wait for the model."""
    assert fake.loaded is not None
    async with asyncio.timeout(30):
        while fake.loaded.text.pending != count:  # noqa: ASYNC110 - it changes in this loop
            await asyncio.sleep(0.005)


async def test_a_client_that_goes_away_frees_its_place_in_the_queue(
    stub: Stub, fake: FakeEncoder
) -> None:
    fake.text.gate.clear()
    first = asyncio.ensure_future(events_of(stub, text_segment(0, "first")))
    await fake.text.wait_entered()
    doomed = asyncio.ensure_future(events_of(stub, text_segment(1, "doomed")))
    await until_pending(fake, 1)
    doomed.cancel()
    await until_pending(fake, 0)
    fake.text.gate.set()
    assert (await first)[-1].summary.segment_count == 1
    assert fake.text.batches == [["first"]]


async def test_the_models_are_listed(stub: Stub) -> None:
    models = (await stub.ListModels(encode_pb2.ListModelsRequest())).models
    assert [model.task for model in models] == [1, 2, 3, 4]
    assert models[0].space == SPACE
    assert models[0].dimension == DIMENSION
    assert all(len(model.sha256) == 64 and model.engine == "fake" for model in models)


async def test_a_default_space_that_no_model_makes_stops_the_start(
    fake: FakeEncoder, tmp_path: Path
) -> None:
    stage = build(make_settings(tmp_path, space="nowhere"), fake.engines)
    with pytest.raises(InvalidInput, match="SPACE_UNKNOWN"):
        await stage.start()
    await stage.stop()


async def test_it_works_with_a_redis_that_is_not_there(fake: FakeEncoder, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, redis_url="redis://127.0.0.1:1/0")
    async with serve_stage(fake.stage(settings), settings) as channel:
        stub: Stub = encode_pb2_grpc.EncodeServiceStub(channel)
        events = await events_of(stub, image_segment(0), text_segment(0, "x"))
    assert not only(events, "item_error")
    assert events[-1].summary.cache_miss_count == 4


async def test_frames_that_show_the_same_are_encoded_once(stub: Stub, fake: FakeEncoder) -> None:
    segments = [image_segment(index, f"picture {index}".encode()) for index in range(6)]
    for index, segment in enumerate(segments):
        # The second shows the same as the first, the last three the same as the third.
        if index not in (0, 2):
            segment.same_as_segment_id = segments[0 if index < 2 else 2].segment_id
    events = await events_of(stub, *segments)
    encoded = [item for batch in fake.classifier.batches for item in batch]
    # Two threads prepare them.
    assert sorted(encoded) == [b"picture 0", b"picture 2"]
    assert {e.segment_id for e in (event.embedding for event in only(events, "embedding"))} == {
        segment.segment_id for segment in segments
    }
    assert events[-1].summary.cache_hit_count == 4 * 3


def moderate(*categories: str, **options: Any) -> encode_pb2.EncodeConfig:
    tasks = [encode_pb2.ENCODE_TASK_TRANSCRIBE, encode_pb2.ENCODE_TASK_MODERATE]
    return encode_pb2.EncodeConfig(tasks=tasks, moderation_categories=categories, **options)


def scores_of(event: Event) -> dict[str, float]:
    return {found.category: found.score for found in event.moderation.result.scores}


async def test_segments_are_judged_by_the_words_heard_in_them_before_they_end(
    stub: Stub, fake: FakeEncoder
) -> None:
    fake.speech.respond = lambda _: (Utterance("rude words", "en", 0.5, 1.5, 0.9, ()),)
    events = await events_of(stub, audio_segment(0, 2), config=moderate())
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[1:-1] == [
        "observation",
        "task_complete",
        "moderation",
        "task_complete",
        "segment_complete",
    ]
    (judged,) = only(events, "moderation")
    assert judged.moderation.segment_id == "talk/audio/0"
    assert scores_of(judged) == pytest.approx({"insult": 0.2, "toxic": 0.9})


async def test_only_classifiers_of_the_wanted_categories_are_loaded(
    stub: Stub, fake: FakeEncoder
) -> None:
    await events_of(stub, text_segment(0, "rude"), image_segment(0))
    assert fake.loaded
    assert not fake.loaded.moderators.texts[0].engine.loaded
    assert not fake.loaded.moderators.pictures[0].engine.loaded
    segments = text_segment(0, "rude"), image_segment(0)
    events = await events_of(stub, *segments, config=moderate("toxic"))
    assert list(events[0].ready.effective_config.moderation_categories) == ["toxic"]
    judged = {event.moderation.segment_id: scores_of(event) for event in only(events, "moderation")}
    assert judged == {"doc/text/0": pytest.approx({"toxic": 0.9}), "film/frame/0": {}}
    assert fake.loaded.moderators.texts[0].engine.loaded
    assert not fake.loaded.moderators.pictures[0].engine.loaded


async def test_a_judgement_that_fails_is_an_item_error_and_no_score(
    stub: Stub, fake: FakeEncoder
) -> None:
    fake.toxicity.fail = lambda _: InvalidInput("TEXT_ODD", "The text is odd.")
    events = await events_of(stub, text_segment(0, "rude"), config=moderate())
    assert [e.item_error.error.reason for e in only(events, "item_error")] == ["TEXT_ODD"]
    assert not only(events, "moderation")


async def test_a_batch_is_judged_in_its_order(stub: Stub) -> None:
    segments = [text_segment(0, "rude"), text_segment(1, "kind")]
    request = encode_pb2.EncodeRequest(config=moderate("toxic"), segments=segments)
    response = await stub.Encode(request)
    assert [(m.segment_id, m.result.scores[0].score > 0.5) for m in response.moderations] == [
        ("doc/text/0", True),
        ("doc/text/1", False),
    ]
    assert not response.embeddings


async def test_a_preview_is_heard_and_its_window_after_it(stub: Stub, fake: FakeEncoder) -> None:
    call = stub.StreamingEncode()
    for message in (
        encode_pb2.StreamingEncodeRequest(config=encode_pb2.EncodeConfig()),
        encode_pb2.StreamingEncodeRequest(preview=preview(0, bytes(64_000), start_s=10.0)),
    ):
        await call.write(message)
    assert (await read(call)).WhichOneof("event") == "ready"
    partial = (await read(call)).partial_transcript
    assert (partial.segment_id, partial.asset_id) == ("talk/audio/0", "talk")
    assert (partial.transcript.text, partial.transcript.language) == ("hello", "en")
    assert (partial.span.start, partial.span.end) == (seconds(10.5), seconds(11.5))
    segment = audio_segment(10, 12, samples=bytes(64))
    await call.write(encode_pb2.StreamingEncodeRequest(segment=segment))
    await call.done_writing()
    events = [await read(call) for _ in range(4)]
    assert not only(events, "partial_transcript")
    (heard,) = only(events, "observation")
    assert heard.observation.transcript.text == "hello"
    assert events[-1].summary.segment_count == 1
    assert [speech.draft for (speech,) in fake.speech.batches] == [True, False]


async def test_a_cancelled_call_stops_listening_to_its_preview(
    stub: Stub, fake: FakeEncoder
) -> None:
    fake.speech.gate.clear()
    call = stub.StreamingEncode()
    await call.write(encode_pb2.StreamingEncodeRequest(config=encode_pb2.EncodeConfig()))
    await call.write(encode_pb2.StreamingEncodeRequest(preview=preview(0)))
    await fake.speech.wait_entered()
    call.cancel()
    ((speech,),) = fake.speech.batches
    cancelled = await asyncio.to_thread(speech.cancelled.wait, 10)
    fake.speech.gate.set()
    assert cancelled


async def test_a_bad_preview_leaves_the_stream_alone(stub: Stub) -> None:
    call = stub.StreamingEncode()
    for message in (
        encode_pb2.StreamingEncodeRequest(config=encode_pb2.EncodeConfig()),
        encode_pb2.StreamingEncodeRequest(preview=preview(0, samples=bytes((1 << 20) + 2))),
        encode_pb2.StreamingEncodeRequest(segment=audio_segment(0, 2)),
    ):
        await call.write(message)
    await call.done_writing()
    events = [event async for event in call]
    assert [
        (event.item_error.item_id, event.item_error.error.reason)
        for event in only(events, "item_error")
    ] == [("talk/audio/0", "SEGMENT_TOO_LARGE")]
    assert only(events, "observation")
