"""StreamingFuse over a real channel."""

from collections.abc import AsyncIterator, Callable, Iterable

import grpc
import numpy as np
import pytest
from sensorium.fuse.v1 import fuse_pb2, fuse_pb2_grpc
from sensorium.media.v1 import evidence_pb2, media_pb2, upload_pb2

from services.fuse.stage import build
from services.runtime.settings import Settings
from tests.harness import serve_stage

Request = fuse_pb2.StreamingFuseRequest


@pytest.fixture(scope="session")
async def stub() -> "AsyncIterator[fuse_pb2_grpc.FuseServiceAsyncStub]":
    async with serve_stage(build(Settings(port=0))) as channel:
        yield fuse_pb2_grpc.FuseServiceStub(channel)


def config(token_budget: int = 0) -> Request:
    return Request(config=fuse_pb2.FuseConfig(token_budget=token_budget))


def embedding(*numbers: float, space: str = "test") -> media_pb2.Embedding:
    vector = np.array(numbers, dtype="<f4")
    vector /= np.linalg.norm(vector)
    return media_pb2.Embedding(
        space=space,
        dtype=media_pb2.VECTOR_DTYPE_FLOAT32,
        dimension=len(numbers),
        data=vector.tobytes(),
    )


def photo(label: str, vector: media_pb2.Embedding) -> list[Request]:
    segment_id = "photo/view/0"
    return [
        Request(
            asset_info=media_pb2.AssetInfo(
                asset_id="photo", modality=media_pb2.MODALITY_IMAGE, name="photo.jpg"
            )
        ),
        Request(
            segment_pending=fuse_pb2.SegmentPending(
                segment_id=segment_id,
                asset_id="photo",
                kind=media_pb2.SEGMENT_KIND_IMAGE_VIEW,
                locator=media_pb2.Locator(region=media_pb2.PixelRegion(width_px=8, height_px=6)),
            )
        ),
        Request(
            segment_vector=fuse_pb2.SegmentVector(segment_id=segment_id, embedding=vector),
        ),
        Request(
            observation=media_pb2.Observation(
                observation_id=f"{segment_id}#label/0",
                segment_id=segment_id,
                asset_id="photo",
                locator=media_pb2.Locator(region=media_pb2.PixelRegion(width_px=4, height_px=3)),
                confidence=0.5,
                label=media_pb2.Label(text=label),
                embedding=vector,
            )
        ),
        Request(segment_encoded=fuse_pb2.SegmentEncoded(segment_id=segment_id)),
    ]


def recalled(text: str, vector: media_pb2.Embedding) -> Request:
    evidence = evidence_pb2.Evidence(
        evidence_id="old/audio/0#speech/0",
        segment_id="old/audio/0",
        asset_id="old",
        asset_name="memo.wav",
        modality=media_pb2.MODALITY_AUDIO,
        origin=evidence_pb2.EVIDENCE_ORIGIN_SPEECH,
        text=text,
        confidence=1.0,
    )
    evidence.locator.span.start.FromMilliseconds(4_000)
    evidence.locator.span.end.FromMilliseconds(6_250)
    return Request(recalled=fuse_pb2.RecalledEvidence(evidence=evidence, embedding=vector))


def finish(vector: media_pb2.Embedding | None = None) -> Request:
    return Request(finish=fuse_pb2.FuseFinish(question="what?", question_embedding=vector))


async def test_parts_come_before_finish_and_the_result_explains_itself(
    stub: "fuse_pb2_grpc.FuseServiceAsyncStub",
) -> None:
    call = stub.StreamingFuse()
    events = aiter(call)
    await call.write(config())
    ready = await anext(events)
    assert ready.ready.effective_config.token_budget > 0
    assert ready.ready.effective_config.temperature == pytest.approx(0.1)
    for request in photo("tabby cat", embedding(1, 0)):
        await call.write(request)
    part = await anext(events)
    assert part.context_part.text == "[1] photo.jpg seen: tabby cat"

    await call.write(recalled("good morning", embedding(0, 1)))
    await call.write(finish(embedding(1, 0)))
    await call.done_writing()
    fused, summary = [event async for event in events]
    context = fused.fused_context
    assert [p.text for p in context.parts] == [
        "[1] photo.jpg seen: tabby cat",
        "[2] memo.wav 0:04-0:06 heard: good morning",
    ]
    assert context.prefix_kept
    seen, heard = context.evidence
    assert seen.evidence.evidence_id == "photo/view/0#label/0"
    assert seen.evidence.locator.region.width_px == 4
    assert seen.similarity == pytest.approx(1.0)
    assert seen.weight > heard.weight
    assert seen.weight + heard.weight == pytest.approx(1.0)
    assert heard.evidence.locator.span.end.ToMilliseconds() == 6_250
    assert {w.modality for w in context.modality_weights} == {
        media_pb2.MODALITY_IMAGE,
        media_pb2.MODALITY_AUDIO,
    }
    assert np.linalg.norm(np.frombuffer(context.fused_embedding.data, "<f4")) == pytest.approx(1.0)
    assert summary.summary.evidence_count == summary.summary.selected_count == 2
    assert summary.summary.token_count == sum(-(-len(p.text) // 3) for p in context.parts)


async def test_a_client_that_forgets_its_half_close_gets_its_summary(
    stub: "fuse_pb2_grpc.FuseServiceAsyncStub",
) -> None:
    call = stub.StreamingFuse()
    for request in (config(), finish()):
        await call.write(request)
    kinds = [event.WhichOneof("event") async for event in call]
    assert kinds == ["ready", "fused_context", "summary"]


async def test_evidence_without_a_vector_is_fused_all_the_same(
    stub: "fuse_pb2_grpc.FuseServiceAsyncStub",
) -> None:
    requests = [config(), recalled("hello", media_pb2.Embedding()), finish(embedding(1, 0))]
    events = [event async for event in stub.StreamingFuse(iter(requests))]
    (heard,) = events[1].fused_context.evidence
    assert heard.weight == 1.0
    assert heard.similarity == 0.0
    assert not events[1].fused_context.HasField("fused_embedding")


async def test_a_long_book_fits_the_message(stub: "fuse_pb2_grpc.FuseServiceAsyncStub") -> None:
    def passage(number: int) -> Request:
        message = recalled("word " * 800, media_pb2.Embedding())
        message.recalled.evidence.evidence_id = f"old/passage/{number}#passage/0"
        message.recalled.evidence.origin = evidence_pb2.EVIDENCE_ORIGIN_PASSAGE
        message.recalled.evidence.modality = media_pb2.MODALITY_TEXT
        return message

    requests = [config(), *(passage(number) for number in range(1200)), finish()]
    events = [event async for event in stub.StreamingFuse(iter(requests))]
    context = events[1].fused_context
    assert 500 < len(context.evidence) < 1200
    cited = {weighed.citation_key for weighed in context.evidence if weighed.in_context}
    assert cited == {part.citation_key for part in context.parts} != set()
    assert events[2].summary.evidence_count == 1200


BACKWARDS = fuse_pb2.TemporalFocus(relation=fuse_pb2.TEMPORAL_RELATION_DURING)
BACKWARDS.anchor_span.start.FromSeconds(2)


def _after(*requests: Request) -> Callable[[], list[Request]]:
    return lambda: [config(), *photo("cat", embedding(1, 0)), *requests]


def _observation(**changes: object) -> Request:
    message = Request()
    message.CopyFrom(photo("cat", embedding(1, 0))[3])
    message.observation.observation_id = "another"
    for name, value in changes.items():
        setattr(message.observation, name, value)
    return message


@pytest.mark.parametrize(
    ("requests", "code", "reason"),
    [
        (lambda: [finish()], "INVALID_ARGUMENT", "CONFIG_EXPECTED"),
        (lambda: [config(), config()], "INVALID_ARGUMENT", "CONFIG_REPEATED"),
        (lambda: [config(10**6)], "INVALID_ARGUMENT", "TOKEN_BUDGET_TOO_LARGE"),
        (_after(), "FAILED_PRECONDITION", "FINISH_EXPECTED"),
        (_after(finish(), finish()), "FAILED_PRECONDITION", "MESSAGE_AFTER_FINISH"),
        (_after(finish(embedding(1, 0, space="x"))), "INVALID_ARGUMENT", "SPACE_MISMATCH"),
        (_after(finish(embedding(1, 0, 0))), "INVALID_ARGUMENT", "DIMENSION_MISMATCH"),
        (
            _after(finish(media_pb2.Embedding(space="test", dimension=2, data=b"\0" * 8))),
            "INVALID_ARGUMENT",
            "DTYPE_UNSUPPORTED",
        ),
        (_after(finish(embedding(float("nan"), 1))), "INVALID_ARGUMENT", "VECTOR_MALFORMED"),
        (
            _after(Request(finish=fuse_pb2.FuseFinish(focus=fuse_pb2.TemporalFocus()))),
            "INVALID_ARGUMENT",
            "RELATION_MISSING",
        ),
        (
            _after(Request(finish=fuse_pb2.FuseFinish(focus=BACKWARDS))),
            "INVALID_ARGUMENT",
            "LOCATOR_INVALID",
        ),
        (_after(_observation()), "FAILED_PRECONDITION", "SEGMENT_OVER"),
        (_after(_observation(segment_id="x")), "INVALID_ARGUMENT", "UNKNOWN_SEGMENT"),
        (_after(_observation(confidence=1.5)), "INVALID_ARGUMENT", "CONFIDENCE_INVALID"),
        (
            _after(Request(segments_complete=upload_pb2.SegmentsComplete(asset_id="x"))),
            "INVALID_ARGUMENT",
            "UNKNOWN_ASSET",
        ),
        (
            _after(Request(asset_info=media_pb2.AssetInfo(asset_id="x"))),
            "INVALID_ARGUMENT",
            "MODALITY_MISSING",
        ),
    ],
)
async def test_mistakes_are_told_in_band_and_by_status(
    stub: "fuse_pb2_grpc.FuseServiceAsyncStub",
    requests: Callable[[], Iterable[Request]],
    code: str,
    reason: str,
) -> None:
    call = stub.StreamingFuse(iter(list(requests())))
    events = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for event in call:
            events.append(event)
    assert caught.value.code().name == code
    assert events[-1].error.reason == reason
