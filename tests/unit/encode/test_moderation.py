"""What is judged, by which classifier, and how well the classifiers of the kit do."""

import pickle
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from services.encode.backends.toxicity import read_vocabulary
from services.encode.encoder import Encoder, Moderated, Outcome, StreamState, TaskFailed
from services.encode.engines import Engines
from services.encode.moderation import Moderator
from services.encode.segments import EncodeOptions, Finding, Segment, SegmentKind, Task
from services.runtime.batching import Meter
from services.runtime.cache import ResultCache
from services.runtime.errors import InternalFailure
from tests.unit.encode.labelled_sentences import BENIGN, HARMFUL
from tests.unit.encode.real import as_png, picture

JUDGE = frozenset([Task.MODERATE])
READ_AND_JUDGE = frozenset([Task.OCR, Task.MODERATE])


async def judged(
    engines: Engines,
    payload: bytes,
    kind: SegmentKind,
    tasks: frozenset[Task] = JUDGE,
    cache: ResultCache | None = None,
) -> Outcome:
    outcomes: list[Outcome] = []

    async def report(outcome: Outcome) -> None:
        outcomes.append(outcome)

    encoder = Encoder(engines, cache or ResultCache(0))
    segment = Segment("a/s/0", "a", kind, payload)
    await encoder.encode(segment, EncodeOptions(tasks=tasks), StreamState(), report)
    return outcomes[-1]


async def toxicity(engines: Engines, text: str) -> float:
    outcome = await judged(engines, text.encode(), SegmentKind.TEXT_PASSAGE)
    assert isinstance(outcome, Moderated)
    return outcome.scores["toxic"]


async def test_text_is_classified_as_well_as_the_docstring_says(engines: Engines) -> None:
    harmful = [await toxicity(engines, text) for text in HARMFUL]
    benign = [await toxicity(engines, text) for text in BENIGN]
    assert (len(HARMFUL), sum(score >= 0.7 for score in harmful)) == (32, 24)
    assert (len(BENIGN), sum(score >= 0.7 for score in benign)) == (36, 1)
    assert (sum(score >= 0.5 for score in harmful), sum(score >= 0.5 for score in benign)) == (
        26,
        3,
    )


async def test_harm_is_found_anywhere_in_a_long_text(engines: Engines) -> None:
    around = "The committee approved the minutes of the meeting. " * 30
    assert await toxicity(engines, around + around) < 0.3
    assert await toxicity(engines, around + "You are such a stupid idiot. " + around) > 0.7


async def test_of_what_is_heard_in_a_window_the_worst_utterance_counts(engines: Engines) -> None:
    said = [BENIGN[0], HARMFUL[0], BENIGN[1]]
    window = Segment("a/s/0", "a", SegmentKind.AUDIO_WINDOW, b"")
    heard = [Finding(Task.TRANSCRIBE, text, 1.0) for text in said]
    scores, _ = await Moderator(engines, ResultCache(0)).judge(
        window, heard, EncodeOptions(tasks=JUDGE), Meter()
    )
    assert scores["toxic"] == max([await toxicity(engines, text) for text in said])


async def test_a_text_without_a_known_word_is_harmless(engines: Engines) -> None:
    assert await toxicity(engines, "Qwrtzx 東京") < 0.2


async def test_pictures_are_scored_and_pictures_of_things_are_harmless(engines: Engines) -> None:
    for name in ("rocket.jpg", "coffee.png", "chelsea.png"):
        outcome = await judged(engines, picture(name), SegmentKind.IMAGE_VIEW)
        assert isinstance(outcome, Moderated)
        assert 0 < outcome.scores["sexual"] < 0.05, name


async def test_writing_in_a_picture_is_judged_where_it_is_read(engines: Engines) -> None:
    page = Image.new("RGB", (800, 200), "white")
    font = ImageFont.load_default(48)
    ImageDraw.Draw(page).text((30, 60), "You stupid idiot", "black", font)
    unread = await judged(engines, as_png(page), SegmentKind.IMAGE_VIEW)
    assert isinstance(unread, Moderated)
    assert unread.scores.keys() == {"sexual"}
    read = await judged(engines, as_png(page), SegmentKind.IMAGE_VIEW, READ_AND_JUDGE)
    assert isinstance(read, Moderated)
    assert read.scores["toxic"] > 0.7


async def test_a_judgement_is_cached_and_a_bad_picture_is_a_failure(engines: Engines) -> None:
    cache = ResultCache(1 << 20)
    for cached in (False, True):
        outcome = await judged(engines, picture("rocket.jpg"), SegmentKind.VIDEO_FRAME, cache=cache)
        assert isinstance(outcome, Moderated)
        assert outcome.cached is cached
    assert isinstance(await judged(engines, b"?", SegmentKind.IMAGE_VIEW), TaskFailed)


class _Anything:
    """A class that no vocabulary has any business with."""


def test_a_vocabulary_with_code_in_it_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.pickle"
    path.write_bytes(pickle.dumps(_Anything()))
    with pytest.raises(InternalFailure, match="VOCABULARY_UNSAFE"):
        read_vocabulary(path)
