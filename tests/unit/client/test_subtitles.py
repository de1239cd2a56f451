"""Transcripts as subtitles: readable pieces, in order, with every word."""

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st
from sensorium_client.events import Transcript, Word
from sensorium_client.locators import TimeSpan
from sensorium_client.render.transcripts import document

from sensorium_formats import subtitles


def spoken(words: list[str], gap_s: float = 0.0, start_s: float = 0.0) -> Transcript:
    """A sentence of words that take half a second each."""
    timed = []
    for index, word in enumerate(words):
        begins_s = start_s + index * (0.5 + gap_s)
        timed.append(Word(word, begins_s, begins_s + 0.5, 0.9))
    span = TimeSpan(timed[0].start_s, timed[-1].end_s)
    return Transcript(
        asset_id="a", span=span, text=" ".join(words), language="en", words=tuple(timed)
    )


def test_a_short_sentence_is_one_block() -> None:
    sentence = spoken(["The", "river", "is", "wide."], start_s=61.5)
    assert subtitles.srt([sentence]) == ("1\n00:01:01,500 --> 00:01:03,500\nThe river is wide.\n")
    assert subtitles.vtt([sentence]) == (
        "WEBVTT\n\n00:01:01.500 --> 00:01:03.500\nThe river is wide.\n"
    )


def test_what_looks_like_markup_is_only_text_in_webvtt() -> None:
    assert "1 &lt; 2 &amp; 3" in subtitles.vtt([spoken(["1", "<", "2", "&", "3"])])


@given(
    st.lists(
        st.lists(st.from_regex(r"[a-z]{1,14}[.,]?", fullmatch=True), min_size=1, max_size=60),
        min_size=1,
        max_size=6,
    ),
    st.floats(0, 2),
    st.floats(-0.5, 3),
)
def test_cues_can_be_read_never_overlap_and_lose_no_word(
    sentences: list[list[str]], gap_s: float, between_s: float
) -> None:
    transcripts: list[Transcript] = []
    start_s = 1.0
    for words in sentences:
        transcripts.append(spoken(words, gap_s, start_s))
        start_s = max(0.0, transcripts[-1].span.end_s + between_s)
    placed = subtitles.cues(transcripts)
    assert " ".join(cue.text for cue in placed).split() == [w for words in sentences for w in words]
    for cue in placed:
        assert cue.end_s - cue.start_s >= subtitles.CUE_S_MIN - 1e-9
        assert cue.end_s - cue.start_s <= subtitles.CUE_S + subtitles.CUE_S_MIN
    for cue, after in itertools.pairwise(placed):
        assert cue.end_s <= after.start_s
    blocks = subtitles.srt(transcripts).split("\n\n")
    assert max(len(block.strip().splitlines()) for block in blocks) <= 2 + subtitles.LINES
    assert len(re.findall(r"^\d+$", subtitles.srt(transcripts), re.MULTILINE)) == len(placed)


def test_a_sentence_without_word_times_stays_whole() -> None:
    sentence = Transcript(asset_id="a", span=TimeSpan(0, 20), text="word " * 40, language="en")
    assert len(subtitles.cues([sentence])) == 1


def test_the_document_holds_text_language_and_times() -> None:
    found = document([spoken(["Hello", "there."]), spoken(["Bye."], start_s=3)])
    assert found["text"] == "Hello there. Bye."
    assert found["language"] == "en"
    assert found["sentences"][1]["span"] == {"start_s": 3, "end_s": 3.5}
    assert found["sentences"][0]["words"][0]["text"] == "Hello"
