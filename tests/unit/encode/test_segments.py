"""Geometry and bytes of what encode finds."""

from hypothesis import given
from hypothesis import strategies as st

from services.encode.codec import pack, unpack
from services.encode.languages import LANGUAGES
from services.encode.segments import (
    Box,
    Finding,
    SpokenWord,
    Task,
    TaskResult,
    in_order,
    place,
    within_voice,
)

sizes = st.integers(1, 3000)
boxes = st.builds(Box, st.integers(0, 3000), st.integers(0, 3000), sizes, sizes)
seconds = st.floats(0, 1e5, allow_nan=False)
words = st.builds(SpokenWord, st.text(), seconds, seconds, st.floats(0, 1))
findings = st.builds(
    Finding,
    task=st.sampled_from(Task),
    text=st.text(st.characters(exclude_categories=["Cs"])),
    confidence=st.floats(0, 1),
    vector=st.binary(max_size=16),
    box=st.none() | boxes,
    start_s=st.none() | seconds,
    end_s=st.none() | seconds,
    language=st.sampled_from(["", "en"]),
    words=st.lists(words, max_size=3).map(tuple),
)


@given(st.binary(max_size=64), st.lists(findings, max_size=4), sizes, sizes)
def test_results_survive_the_cache(
    vector: bytes, found: list[Finding], width_px: int, height_px: int
) -> None:
    result = TaskResult(vector, tuple(found), width_px, height_px)
    assert unpack(pack(result)) == result


@given(boxes, sizes, sizes, boxes)
def test_a_placed_box_lies_within_its_region(
    box: Box, width_px: int, height_px: int, region: Box
) -> None:
    placed = place(box, width_px, height_px, region)
    assert placed.width_px >= 1
    assert placed.height_px >= 1
    assert region.left_px <= placed.left_px
    assert region.top_px <= placed.top_px
    assert placed.left_px + placed.width_px <= region.left_px + region.width_px
    assert placed.top_px + placed.height_px <= region.top_px + region.height_px


def test_a_box_is_scaled_and_moved_to_the_source() -> None:
    tile = Box(1000, 500, 400, 200)
    assert place(Box(10, 20, 30, 40), 200, 100, tile) == Box(1020, 540, 60, 80)


def test_the_languages_are_those_of_whisper() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert frozenset(_LANGUAGE_CODES) == LANGUAGES


@given(st.lists(words, max_size=20), seconds, st.floats(0, 100))
def test_words_follow_one_another_within_their_span(
    said: list[SpokenWord], start_s: float, length_s: float
) -> None:
    silent = [within_voice(word, [(start_s, start_s + length_s)]) for word in said]
    ordered = in_order(silent, start_s, start_s + length_s)
    assert [word.text for word in ordered] == [word.text for word in said]
    times = [time_s for word in ordered for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert all(start_s <= time_s <= start_s + length_s for time_s in times)
