"""What the models of the offline kit make of real media."""

import asyncio
import dataclasses
import shutil
import textwrap
import threading

import numpy as np
import pytest
from faster_whisper.transcribe import Segment as WhisperSegment
from PIL import Image

from services.encode.backends.whisper import is_invented
from services.encode.encoder import Encoder, Outcome, StreamState, TaskDone, TaskFailed
from services.encode.engines import Engines
from services.encode.segments import EncodeOptions, Segment, SegmentKind, Speech, Task
from services.runtime.cache import ResultCache
from services.runtime.errors import InvalidInput
from tests import media
from tests.pages import Ink, PrintedLine, draw_page
from tests.unit.encode.real import as_png, picture, sign, spoken_samples
from tests.voices import spoken


async def encode(
    engines: Engines,
    payload: bytes,
    kind: SegmentKind = SegmentKind.IMAGE_VIEW,
    tasks: frozenset[Task] = frozenset(),
    language: str = "en",
) -> dict[Task, Outcome]:
    segment = Segment("a/s/0", "a", kind, payload, sample_rate_hz=16_000)
    return await outcomes_of(engines, segment, EncodeOptions(tasks=tasks, language=language))


async def outcomes_of(
    engines: Engines, segment: Segment, options: EncodeOptions
) -> dict[Task, Outcome]:
    outcomes: dict[Task, Outcome] = {}

    async def report(outcome: Outcome) -> None:
        outcomes[outcome.task] = outcome

    await Encoder(engines, ResultCache(0)).encode(segment, options, StreamState(), report)
    return outcomes


async def read(engines: Engines, segment: Segment) -> list[str]:
    outcomes = await outcomes_of(engines, segment, EncodeOptions(tasks=frozenset([Task.OCR])))
    return [finding.text for finding in done(outcomes[Task.OCR]).result.findings]


def done(outcome: Outcome) -> TaskDone:
    assert isinstance(outcome, TaskDone), outcome
    return outcome


async def texts(engines: Engines, payload: bytes, task: Task, **kwargs: object) -> list[str]:
    kind = SegmentKind.AUDIO_WINDOW if task is Task.TRANSCRIBE else SegmentKind.IMAGE_VIEW
    language = str(kwargs.get("language", "en"))
    outcomes = await encode(engines, payload, kind, frozenset([task]), language)
    return [finding.text for finding in done(outcomes[task]).result.findings]


async def vector(engines: Engines, text: str) -> np.ndarray:
    return await engines.text.run(text)


async def image_vector(engines: Engines, name: str) -> np.ndarray:
    outcomes = await encode(engines, picture(name), tasks=frozenset([Task.EMBED]))
    return np.frombuffer(done(outcomes[Task.EMBED]).result.vector, "<f4")


async def test_like_sentences_are_close_and_vectors_are_of_unit_length(engines: Engines) -> None:
    cat, kitten, market = await engines.text.run_many(
        ["A cat sits on the sofa.", "A kitten is lying on a couch.", "Shares fell on Monday."]
    )
    assert cat @ kitten > 0.6
    assert cat @ market < 0.2
    for each in (cat, kitten, market):
        assert each.shape == (768,)
        assert np.linalg.norm(each) == pytest.approx(1, abs=1e-4)


async def test_company_in_a_batch_does_not_change_a_vector(engines: Engines) -> None:
    lonely = await engines.text.run("the harbour at night")
    crowd = [f"sentence number {i} " * (i % 40 + 1) for i in range(37)]
    among_others = await engines.text.run_many([*crowd, "the harbour at night"])
    assert lonely @ among_others[-1] > 1 - 1e-4


async def test_two_networks_see_a_picture_and_weigh_the_same(engines: Engines) -> None:
    seen = await engines.classifier.run(picture("chelsea.png"))
    assert seen.probabilities.sum() == pytest.approx(1, abs=1e-4)
    one, other = np.split(seen.features, 2)
    assert one.sum() == pytest.approx(1, abs=1e-4)
    assert other.sum() == pytest.approx(1, abs=1e-4)
    assert not np.allclose(one, other, atol=1e-4)


async def test_the_end_of_a_long_text_counts(engines: Engines) -> None:
    filler = "The committee approved the minutes of the previous meeting. " * 50
    plain, with_end = await engines.text.run_many(
        [filler, filler + "A volcano erupted near the village. " * 8]
    )
    volcano = await engines.text.run("volcanic eruption")
    assert with_end @ volcano > plain @ volcano + 0.05


async def test_an_empty_text_is_refused(engines: Engines) -> None:
    with pytest.raises(InvalidInput, match="TEXT_EMPTY"):
        await engines.text.run(" \n")


async def test_a_cat_is_called_a_cat(engines: Engines) -> None:
    labels = await texts(engines, picture("chelsea.png"), Task.LABEL)
    assert len(labels) == 1
    assert "cat, animal" in labels[0]
    cat, dog = await engines.text.run_many(["cat", "a sports car"])
    label = await vector(engines, labels[0])
    assert label @ cat > label @ dog


async def test_a_cup_of_coffee_is_called_coffee(engines: Engines) -> None:
    assert await texts(engines, picture("coffee.png"), Task.LABEL) == ["espresso (coffee, drink)"]


@pytest.mark.parametrize("name", ["rocket.jpg", "astronaut.png", "hubble_deep_field.jpg"])
async def test_where_the_network_is_unsure_it_claims_nothing(engines: Engines, name: str) -> None:
    labels = await texts(engines, picture(name), Task.LABEL)
    assert all(label.startswith("perhaps ") for label in labels)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a photo of a cat", "chelsea.png"),
        ("a cup of coffee", "coffee.png"),
        ("a rocket being launched", "rocket.jpg"),
        ("a motorbike in a garage", "motorcycle_left.png"),
    ],
)
async def test_a_caption_finds_its_picture(engines: Engines, caption: str, expected: str) -> None:
    names = ["chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "brick.png"]
    pictures = [await image_vector(engines, name) for name in names]
    query = await vector(engines, caption)
    assert names[int(np.argmax([each @ query for each in pictures]))] == expected


async def test_printed_text_is_read_where_it_stands(engines: Engines) -> None:
    outcomes = await encode(engines, sign("LIGHTHOUSE 1907"), tasks=frozenset([Task.OCR]))
    (line,) = done(outcomes[Task.OCR]).result.findings
    assert line.text == "LIGHTHOUSE 1907"
    assert line.confidence > 0.8
    assert line.box is not None
    assert abs(line.box.left_px - 200) < 25
    assert 280 < line.box.top_px < 330
    assert line.vector


async def test_a_page_is_read_in_order(engines: Engines) -> None:
    lines = await texts(engines, picture("page.png"), Task.OCR)
    assert "Region-based segmentation" in lines[0]
    assert any("markers of the coins" in line for line in lines)


@pytest.mark.parametrize("degrees", [0, 180])
async def test_long_lines_are_read_whichever_way_up_they_are(
    engines: Engines, degrees: int
) -> None:
    """A classifier of orientation takes some of these for upside down, and of those that are,
    most for upright."""
    words = (
        "The ferry to the island leaves the harbour twice a day. In winter the sea is often too "
        "rough, and the passengers wait in the small cafe beside the ticket office. Last Thursday "
        "a young teacher told the captain that her suitcase was missing. He looked under every "
        "bench, behind the engine and between the wooden boxes, but he found only an umbrella. "
    )
    written = textwrap.wrap(words * 2, 108)
    page = draw_page(
        [PrintedLine(text, 48, 240 + 38 * row, 24) for row, text in enumerate(written)],
        (1400, 720),
    )
    assert await texts(engines, as_png(page.rotate(degrees)), Task.OCR) == written


async def test_a_page_that_is_upside_down_is_read_all_the_same(engines: Engines) -> None:
    lines = [
        PrintedLine("HARBOUR CAFE", 60, 60, 40),
        PrintedLine("Apple cake 4.20", 60, 160, 40),
        PrintedLine("TOTAL 24.97 EUR", 60, 260, 40),
    ]
    page = draw_page(lines, (640, 400)).transpose(Image.Transpose.ROTATE_180)
    assert await texts(engines, as_png(page), Task.OCR) == [line.text for line in lines]


@pytest.mark.parametrize("text", ["Lamps are lit at dusk", "Room 204", "Water taken in on 3 March"])
@pytest.mark.parametrize("ink", [("black", "white"), ("#f4f4f4", "#20242c")])
async def test_a_lone_line_of_small_type_is_found_on_much_paper(
    engines: Engines, text: str, ink: Ink
) -> None:
    line = PrintedLine(text, 700, 500, 12)
    page = as_png(draw_page([line], (1280, 720), ink))
    outcomes = await encode(engines, page, tasks=frozenset([Task.OCR]))
    (found,) = done(outcomes[Task.OCR]).result.findings
    assert found.text == text
    assert found.box is not None
    box = found.box
    edges = (box.left_px, box.top_px, box.left_px + box.width_px, box.top_px + box.height_px)
    assert edges == pytest.approx(line.box, abs=6)


async def test_small_print_is_left_to_the_tiles_of_a_view(engines: Engines) -> None:
    lines = [
        PrintedLine("HARBOUR OFFICE", 60, 60, 40),
        PrintedLine("Visitors sign the book at the gate", 60, 200, 16),
        PrintedLine("Berth 14 is closed until the crane has been repaired", 60, 260, 16),
    ]
    page = as_png(draw_page(lines, (1280, 720)))
    view = Segment("a/view/0", "a", SegmentKind.IMAGE_VIEW, page)
    written = [line.text for line in lines]
    assert await read(engines, view) == written
    assert await read(engines, dataclasses.replace(view, tiled=True)) == written[:1]


async def test_a_cat_says_nothing_to_read(engines: Engines) -> None:
    assert await texts(engines, picture("chelsea.png"), Task.OCR) == []


async def test_speech_is_written_down_with_its_times(engines: Engines) -> None:
    speech = Speech(spoken_samples(), "en", word_times=True)
    utterances = await engines.speech_english.run(speech)
    # Joined without blanks: whisper writes "light house" on some CPUs.
    said = "".join(utterance.text for utterance in utterances).lower().replace(" ", "")
    for word in ("lighthouse", "captain", "museum", "strawberry", "river"):
        assert word in said
    words = [word for utterance in utterances for word in utterance.words]
    starts = [word.start_s for word in words]
    assert starts == sorted(starts)
    assert 8 < words[-1].end_s < 12


async def test_what_is_said_after_music_begins_when_it_is_said(engines: Engines) -> None:
    speech = np.frombuffer(spoken_samples(), np.int16)
    song_s, speech_s = 12.0, len(speech) / 16_000
    sound = np.concatenate([speech, media.music(song_s), speech])
    utterances = await engines.speech_english.run(Speech(sound.tobytes(), "en", word_times=False))
    before = [said for said in utterances if said.start_s < speech_s]
    after = [said for said in utterances if said.start_s > speech_s]
    assert all(said.end_s < speech_s + 0.3 for said in before)
    assert after[0].start_s > speech_s + song_s - 0.3


async def test_another_language_is_told_by_its_sound(engines: Engines) -> None:
    outcomes = await encode(engines, spoken_samples(), SegmentKind.AUDIO_WINDOW, language="auto")
    findings = done(outcomes[Task.TRANSCRIBE]).result.findings
    assert {finding.language for finding in findings} == {"en"}
    assert "museum" in " ".join(finding.text for finding in findings)


SOUNDS = {
    "silence": media.noise(5, 0),
    "quiet noise": media.noise(5, 500),
    "loud noise": media.noise(60, 5000)[46 * 16_000 : 58 * 16_000],
    "a tone": media.tone(5),
    "music": media.music(10),
}


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs Debian's espeak-ng")
async def test_german_is_told_and_written_down(engines: Engines) -> None:
    sound = await asyncio.to_thread(spoken, "Guten Morgen, meine Damen und Herren.", "de")
    outcomes = await encode(engines, sound.tobytes(), SegmentKind.AUDIO_WINDOW, language="auto")
    findings = done(outcomes[Task.TRANSCRIBE]).result.findings
    assert {finding.language for finding in findings} == {"de"}
    assert "Guten Morgen" in " ".join(finding.text for finding in findings)


@pytest.mark.parametrize("language", ["en", "auto"])
@pytest.mark.parametrize("sound", SOUNDS)
async def test_what_is_no_speech_says_nothing(engines: Engines, sound: str, language: str) -> None:
    payload = SOUNDS[sound].astype("<i2").tobytes()
    assert await texts(engines, payload, Task.TRANSCRIBE, language=language) == []


def test_more_than_can_be_said_was_not_said() -> None:
    def heard(text: str, end_s: float) -> WhisperSegment:
        return WhisperSegment(0, 0, 0.0, end_s, text, [], -0.19, 1.0, 0.68, None, 0.0)

    # As heard in the last 0.34 s of a breath.
    loop = " Thank you so much for watching and I'll" + " see you in the next video," * 30
    assert is_invented(heard(loop, 0.34))
    # Whisper's ends are rough: a short sentence may seem to take no time at all.
    assert not is_invented(heard(" Children visit the museum every summer.", 0.1))
    assert not is_invented(heard(" I sell, I sell, sold to the gentleman over there." * 6, 9.0))


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs Debian's espeak-ng")
@pytest.mark.parametrize("word", ["doctor", "giraffe"])
async def test_a_word_that_fills_its_recording_is_heard(engines: Engines, word: str) -> None:
    sound = await asyncio.to_thread(spoken, word)
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > 300)
    sound = sound[loud[0] : loud[-1]]
    heard = await engines.speech_english.run(Speech(sound.tobytes(), "en", word_times=True))
    assert "".join(utterance.text for utterance in heard).strip(" .").lower() == word
    times = [at_s for each in heard[0].words for at_s in (each.start_s, each.end_s)]
    assert 0 <= heard[0].start_s <= times[0] < times[-1] <= heard[0].end_s <= len(sound) / 16_000


async def test_cancelled_speech_is_not_transcribed(engines: Engines) -> None:
    cancelled = threading.Event()
    cancelled.set()
    speech = Speech(spoken_samples(), "en", word_times=False, cancelled=cancelled)
    assert await engines.speech_english.run(speech) == ()


@pytest.mark.parametrize(
    "payload",
    [b"", b"not a picture", b"GIF89a" + bytes(40), sign("cut short")[:900]],
    ids=["empty", "noise", "gif", "truncated"],
)
async def test_bad_pictures_fail_each_task_with_a_reason(engines: Engines, payload: bytes) -> None:
    outcomes = await encode(engines, payload)
    assert set(outcomes) == {Task.EMBED, Task.LABEL, Task.OCR}
    for outcome in outcomes.values():
        assert isinstance(outcome, TaskFailed)
        assert outcome.error.reason == "IMAGE_UNDECODABLE"


@pytest.mark.parametrize("side", [(4_500, 4_500), (14_000, 14_000)])
async def test_a_picture_bomb_is_refused_before_it_is_decoded(
    engines: Engines, side: tuple[int, int]
) -> None:
    bomb = as_png(Image.new("1", side))
    outcomes = await encode(engines, bomb, tasks=frozenset([Task.EMBED]))
    failed = outcomes[Task.EMBED]
    assert isinstance(failed, TaskFailed)
    assert failed.error.reason == "IMAGE_TOO_LARGE"


async def test_a_transparent_picture_is_laid_on_white(engines: Engines) -> None:
    clear = as_png(Image.new("RGBA", (300, 300), (0, 0, 0, 0)))
    white = as_png(Image.new("RGB", (300, 300), "white"))
    one, other = await asyncio.gather(engines.classifier.run(clear), engines.classifier.run(white))
    assert np.allclose(one.probabilities, other.probabilities, atol=1e-6)
