"""Transcripts are told in order of time, in whatever order windows are done, guesses or not."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensorium.encode.v1.encode_pb2 import (
    PartialTranscript,
    SegmentComplete,
    StreamingEncodeResponse,
)
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.hearing import JudgedWords, TranscriptOrder
from services.gateway.perception import ingest_config
from services.runtime.calls import CallScope


def said(segment_id: str, text: str) -> StreamingEncodeResponse:
    transcript = media_pb2.Transcript(text=text)
    observation = media_pb2.Observation(segment_id=segment_id, transcript=transcript)
    return StreamingEncodeResponse(observation=observation)


def over(segment_id: str) -> StreamingEncodeResponse:
    return StreamingEncodeResponse(segment_complete=SegmentComplete(segment_id=segment_id))


def guess(segment_id: str, text: str) -> StreamingEncodeResponse:
    partial = PartialTranscript(segment_id=segment_id, transcript=media_pb2.Transcript(text=text))
    return StreamingEncodeResponse(partial_transcript=partial)


def told(order: TranscriptOrder, *events: StreamingEncodeResponse) -> list[str]:
    """The words that pass; guesses end in dots."""
    texts: list[str] = []
    for event in events:
        texts += [observation.transcript.text for observation in order.take(event)]
        if (partial := order.take_guess(event)) is not None:
            texts.append(f"{partial.transcript.text}...")
    return texts


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=8), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_words_are_told_in_order_of_time_and_none_is_lost(
    assets: list[list[int]], random: Random
) -> None:
    # Of each asset, how many sentences each window has; windows end in any order.
    pending = {
        f"{asset}/audio_window/{window}": [f"{asset}/{window}/{n}" for n in range(count)]
        for asset, windows in enumerate(assets)
        for window, count in enumerate(windows)
    }
    order, heard = TranscriptOrder(), list[str]()
    while pending:
        segment_id = random.choice(sorted(pending))
        told(order, guess(random.choice(sorted(pending)), "guess"))
        texts = pending[segment_id]
        event = said(segment_id, texts.pop(0)) if texts else over(segment_id)
        if event.WhichOneof("event") == "segment_complete":
            del pending[segment_id]
        heard += told(order, event)
    for asset, windows in enumerate(assets):
        expected = [
            f"{asset}/{window}/{n}" for window, count in enumerate(windows) for n in range(count)
        ]
        assert [text for text in heard if text.startswith(f"{asset}/")] == expected


def test_the_first_words_do_not_wait_for_the_end_of_their_window() -> None:
    order = TranscriptOrder()
    assert told(order, said("a/audio_window/0", "Yes.")) == ["Yes."]
    assert told(order, said("a/audio_window/1", "No.")) == []
    assert told(order, over("a/audio_window/0")) == ["No."]


def test_a_guess_passes_until_its_window_is_over_and_not_before_its_turn() -> None:
    first, second = "a/audio_window/0", "a/audio_window/1"
    order = TranscriptOrder()
    assert told(order, guess(first, "Y"), guess(first, "Ye")) == ["Y...", "Ye..."]
    assert told(order, guess(second, "N")) == []
    assert told(order, said(first, "Yes."), over(first)) == ["Yes."]
    assert told(order, guess(first, "Yet"), guess(second, "No")) == ["No..."]


def test_a_guess_that_nothing_replaces_is_taken_back() -> None:
    first, second = "a/audio_window/0", "a/audio_window/1"
    order = TranscriptOrder()
    assert told(order, guess(first, "")) == []
    assert told(order, guess(first, "Mm"), guess(first, ""), guess(first, "")) == ["Mm...", "..."]
    assert told(order, guess(first, "Hm"), over(first)) == ["Hm...", "..."]
    assert told(order, over(second)) == []


def test_held_words_come_with_the_end_of_their_window_and_none_is_lost() -> None:
    events = [
        said("a/audio_window/0", "One."),
        said("a/audio_window/1", "Two."),
        said("a/audio_window/0", "Three."),
        over("a/audio_window/1"),
        over("a/audio_window/0"),
    ]
    held = JudgedWords(hold=True)
    assert [held.take(event) for event in events] == [
        [],
        [],
        [],
        [events[1], events[3]],
        [events[0], events[2], events[4]],
    ]
    free = JudgedWords(hold=False)
    assert [free.take(event) for event in events] == [[event] for event in events]


def test_no_words_are_guessed_where_they_are_held_until_they_are_judged() -> None:
    options = gateway_pb2.PerceptionOptions(partial_transcripts=True)
    assert ingest_config(options, CallScope(), words_held=False).audio_previews
    assert not ingest_config(options, CallScope(), words_held=True).audio_previews


@pytest.mark.parametrize(
    ("partial_transcripts", "words_awaited", "long"),
    [(False, False, True), (True, False, False), (False, True, False)],
)
def test_windows_of_sound_are_long_where_nobody_waits_for_words(
    partial_transcripts: bool, words_awaited: bool, long: bool
) -> None:
    options = gateway_pb2.PerceptionOptions(partial_transcripts=partial_transcripts)
    config = ingest_config(options, CallScope(), words_held=False, words_awaited=words_awaited)
    assert config.long_audio_windows is long
