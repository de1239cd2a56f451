"""The walk of a segment through tasks and cache, with fakes for models."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from services.encode.encoder import Encoder, Outcome, StreamState, TaskDone, TaskFailed
from services.encode.segments import (
    Box,
    EncodeOptions,
    ReadLine,
    ReadPage,
    Segment,
    SegmentKind,
    Speech,
    Task,
    Utterance,
)
from services.runtime.cache import ResultCache
from services.runtime.errors import InvalidInput
from services.runtime.priority import Priority
from tests.fakes import DIMENSION, FakeEncoder
from tests.harness import make_settings

PICTURE = Segment("a/view/0", "a", SegmentKind.IMAGE_VIEW, b"picture")
FRAME = Segment("b/frame/7", "b", SegmentKind.VIDEO_FRAME, b"picture", start_s=7.0)
SOUND = Segment("c/window/0", "c", SegmentKind.AUDIO_WINDOW, b"sound.", sample_rate_hz=16_000)
TEXT = Segment("d/text/0", "d", SegmentKind.TEXT_PASSAGE, b"a tabby on a sofa")


class Walk:
    """An encoder on fakes that remembers what it reports."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.state = StreamState()
        self.outcomes: list[Outcome] = []

    async def __call__(self, segment: Segment, options: EncodeOptions | None = None) -> None:
        async def report(outcome: Outcome) -> None:
            self.outcomes.append(outcome)

        await self.encoder.encode(segment, options or EncodeOptions(), self.state, report)

    def done(self, index: int) -> TaskDone:
        outcome = self.outcomes[index]
        assert isinstance(outcome, TaskDone)
        return outcome


@pytest.fixture
async def walk(fake: FakeEncoder, tmp_path: Path) -> Walk:
    engines = await fake.engines(make_settings(tmp_path))
    return Walk(Encoder(engines, ResultCache(1 << 20)))


async def test_a_picture_gives_its_vector_and_labels_before_its_text(
    walk: Walk, fake: FakeEncoder
) -> None:
    line = ReadLine("EXIT", 0.8, Box(1, 2, 3, 4))
    fake.ocr.respond = lambda _: ReadPage((line,), 10, 10)
    await walk(PICTURE)
    assert [outcome.task for outcome in walk.outcomes] == [Task.EMBED, Task.LABEL, Task.OCR]
    embed, label, ocr = (walk.done(i).result for i in range(3))
    assert len(embed.vector) == DIMENSION * 4
    assert embed.findings == ()
    assert [finding.text for finding in label.findings] == ["tabby (cat, animal)"]
    assert [finding.text for finding in ocr.findings] == ["EXIT"]
    assert all(len(f.vector) == DIMENSION * 4 for f in (*label.findings, *ocr.findings))


async def test_one_forward_pass_answers_vector_and_labels(walk: Walk, fake: FakeEncoder) -> None:
    await walk(PICTURE)
    assert fake.classifier.batches == [[b"picture"]]
    assert [walk.done(i).cached for i in range(3)] == [False, False, False]
    assert (walk.state.cache_hit_count, walk.state.cache_miss_count) == (0, 3)
    assert walk.state.meter.compute_s > 0


async def test_equal_content_of_another_asset_comes_from_the_cache_with_its_own_ids(
    walk: Walk, fake: FakeEncoder
) -> None:
    await walk(PICTURE)
    await walk(FRAME)
    again = [walk.done(i) for i in range(3, 6)]
    assert all(outcome.cached for outcome in again)
    assert {outcome.segment.segment_id for outcome in again} == {"b/frame/7"}
    assert len(fake.classifier.batches) == len(fake.ocr.batches) == 1


async def test_tenants_share_nothing(walk: Walk, fake: FakeEncoder) -> None:
    await walk(PICTURE, EncodeOptions(tenant="one"))
    await walk(PICTURE, EncodeOptions(tenant="two"))
    assert len(fake.classifier.batches) == len(fake.ocr.batches) == 2


async def test_what_is_read_of_a_view_with_tiles_is_not_taken_for_all_of_it(
    walk: Walk, fake: FakeEncoder
) -> None:
    only = EncodeOptions(tasks=frozenset([Task.OCR]))
    for tiled in (True, False, True):
        await walk(replace(PICTURE, tiled=tiled), only)
    assert [outcome.cached for outcome in map(walk.done, range(3))] == [False, False, True]
    assert [each.tiled for batch in fake.ocr.batches for each in batch] == [True, False]


async def test_options_that_change_a_transcript_are_part_of_its_key(
    walk: Walk, fake: FakeEncoder
) -> None:
    for options in (
        EncodeOptions(),
        EncodeOptions(language="de"),
        EncodeOptions(word_times=True),
        EncodeOptions(priority=Priority.BULK),
    ):
        await walk(SOUND, options)
    assert [outcome.cached for outcome in map(walk.done, range(4))] == [False, False, False, True]


async def test_only_wanted_tasks_that_fit_are_run(walk: Walk) -> None:
    wanted = EncodeOptions(tasks=frozenset([Task.OCR, Task.TRANSCRIBE]))
    for segment in (PICTURE, SOUND, TEXT):
        await walk(segment, wanted)
    assert [(o.segment.asset_id, o.task) for o in walk.outcomes] == [
        ("a", Task.OCR),
        ("c", Task.TRANSCRIBE),
    ]


async def test_text_gives_a_vector_and_itself(walk: Walk) -> None:
    await walk(TEXT)
    result = walk.done(0).result
    assert [finding.text for finding in result.findings] == ["a tabby on a sofa"]
    assert result.findings[0].vector == result.vector


async def test_a_failed_task_leaves_the_others_alone(walk: Walk, fake: FakeEncoder) -> None:
    fake.classifier.fail = lambda _: RuntimeError("/secret/path")
    await walk(PICTURE)
    assert [type(outcome) for outcome in walk.outcomes] == [TaskFailed, TaskFailed, TaskDone]
    failed = walk.outcomes[0]
    assert isinstance(failed, TaskFailed)
    assert failed.error.reason == "ENCODER_FAILED"
    assert "secret" not in failed.error.message


async def test_a_failure_is_not_cached(walk: Walk, fake: FakeEncoder) -> None:
    fake.ocr.fail = lambda _: InvalidInput("UNREADABLE", "No.")
    options = EncodeOptions(tasks=frozenset([Task.OCR]))
    await walk(PICTURE, options)
    fake.ocr.fail = lambda _: None
    await walk(PICTURE, options)
    assert [type(outcome) for outcome in walk.outcomes] == [TaskFailed, TaskDone]


async def test_sound_of_another_rate_is_refused(walk: Walk) -> None:
    await walk(Segment("c/window/0", "c", SegmentKind.AUDIO_WINDOW, b"", sample_rate_hz=44_100))
    failed = walk.outcomes[0]
    assert isinstance(failed, TaskFailed)
    assert failed.error.reason == "SAMPLE_RATE_UNSUPPORTED"


async def test_cancelling_the_only_listener_reaches_the_worker(
    walk: Walk, fake: FakeEncoder
) -> None:
    fake.speech.gate.clear()
    listening = asyncio.ensure_future(walk(SOUND))
    await fake.speech.wait_entered()
    ((speech,),) = fake.speech.batches
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    cancelled = await asyncio.to_thread(speech.cancelled.wait, 10)
    fake.speech.gate.set()
    assert cancelled


async def pending(walk: Walk, count: int) -> None:
    """Waits until so many pictures wait to be read."""
    async with asyncio.timeout(30):
        while walk.encoder._engines.ocr.pending < count:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)


async def test_answers_go_before_bulk_work(walk: Walk, fake: FakeEncoder) -> None:
    fake.ocr.gate.clear()
    only = frozenset([Task.OCR])

    def page(number: int) -> Segment:
        return Segment(f"p/{number}", "p", SegmentKind.IMAGE_VIEW, str(number).encode())

    jobs = [asyncio.ensure_future(walk(page(0), EncodeOptions(tasks=only)))]
    await fake.ocr.wait_entered()
    jobs.append(
        asyncio.ensure_future(walk(page(1), EncodeOptions(tasks=only, priority=Priority.BULK)))
    )
    await pending(walk, 1)
    jobs.append(asyncio.ensure_future(walk(page(2), EncodeOptions(tasks=only))))
    await pending(walk, 2)
    fake.ocr.gate.set()
    await asyncio.gather(*jobs)
    assert [each.data for batch in fake.ocr.batches for each in batch] == [b"0", b"2", b"1"]


async def test_an_asset_has_one_language_that_of_its_first_words(
    walk: Walk, fake: FakeEncoder
) -> None:
    detected = {b"": None, b"de": "de", b"fr": "fr", b"unsure": "cy"}

    def hear(speech: Speech) -> tuple[Utterance, ...]:
        language = detected[speech.samples] if speech.language == "auto" else speech.language
        return (Utterance("said", language, 0.0, 1.0, 0.9, ()),) if language else ()

    fake.speech.respond = hear
    windows = [("x", b""), ("x", b"de"), ("x", b"unsure"), ("y", b"fr"), ("y", b"unsure")]
    async with asyncio.TaskGroup() as group:
        for index, (asset_id, payload) in enumerate(windows):
            segment_id = f"{asset_id}/audio_window/{index}"
            sound = replace(SOUND, segment_id=segment_id, asset_id=asset_id, payload=payload)
            group.create_task(walk(sound, EncodeOptions(language="auto")))
    told = [
        (outcome.segment.asset_id, finding.language)
        for index, outcome in enumerate(walk.outcomes)
        for finding in walk.done(index).result.findings
    ]
    assert sorted(told) == [("x", "de"), ("x", "de"), ("y", "fr"), ("y", "fr")]
