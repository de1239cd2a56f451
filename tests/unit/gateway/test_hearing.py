"""Transcripts are told in order of time, in whatever order windows are done."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from sensorium.encode.v1.encode_pb2 import SegmentComplete, StreamingEncodeResponse
from sensorium.media.v1 import media_pb2

from services.gateway.hearing import TranscriptOrder


def said(segment_id: str, text: str) -> StreamingEncodeResponse:
    transcript = media_pb2.Transcript(text=text)
    observation = media_pb2.Observation(segment_id=segment_id, transcript=transcript)
    return StreamingEncodeResponse(observation=observation)


def over(segment_id: str) -> StreamingEncodeResponse:
    return StreamingEncodeResponse(segment_complete=SegmentComplete(segment_id=segment_id))


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
    order, told = TranscriptOrder(), []
    while pending:
        segment_id = random.choice(sorted(pending))
        texts = pending[segment_id]
        event = said(segment_id, texts.pop(0)) if texts else over(segment_id)
        if event.WhichOneof("event") == "segment_complete":
            del pending[segment_id]
        told += [observation.transcript.text for observation in order.take(event)]
    for asset, windows in enumerate(assets):
        expected = [
            f"{asset}/{window}/{n}" for window, count in enumerate(windows) for n in range(count)
        ]
        assert [text for text in told if text.startswith(f"{asset}/")] == expected


def test_the_first_words_do_not_wait_for_the_end_of_their_window() -> None:
    order = TranscriptOrder()
    assert [o.transcript.text for o in order.take(said("a/audio_window/0", "Yes."))] == ["Yes."]
    assert list(order.take(said("a/audio_window/1", "No."))) == []
    assert [o.transcript.text for o in order.take(over("a/audio_window/0"))] == ["No."]
