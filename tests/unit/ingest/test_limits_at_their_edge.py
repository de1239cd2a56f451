"""5:00 of video and 30:00 of sound pass, with half a second of padding; two seconds more do not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.ingest.model import SegmentKind
from services.runtime.errors import LimitExceeded
from tests import media
from tests.unit.ingest.conftest import cut

VIDEO_S, AUDIO_S = 300.0, 1800.0
RATE_HZ = 1000


def film(seconds: float, container: str) -> bytes:
    """A small film at two frames a second; a live WebM does not state its length."""
    pictures = [media.numbered_frame(index) for index in range(round(seconds * 2))]
    times_ms = [index * 500 for index in range(len(pictures))]
    return media.timed_video(pictures, times_ms, container)


def stated(seconds: float) -> bytes:
    return media.wav(media.tone(seconds, RATE_HZ, hz=0), RATE_HZ)


def endless(seconds: float) -> bytes:
    return media.endless_wav(media.tone(seconds, RATE_HZ, hz=0), RATE_HZ)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_five_minutes_of_video_pass_and_two_seconds_more_do_not(
    tmp_path: Path, container: str
) -> None:
    _, segments = cut(tmp_path / "part", film(VIDEO_S, container))
    shown = [segment for segment in segments if segment.kind is SegmentKind.VIDEO_FRAME]
    assert shown[-1].span is not None
    # Where the length is not stated the budget must last for longer films too.
    assert shown[-1].span.end_s > 0.75 * VIDEO_S
    with pytest.raises(LimitExceeded, match="5 minutes") as caught:
        cut(tmp_path / "part", film(VIDEO_S + 2, container))
    assert caught.value.reason == "MEDIA_TOO_LONG"


@pytest.mark.parametrize("make", [stated, endless])
@pytest.mark.parametrize("padding_s", [0.0, 0.4])
def test_thirty_minutes_of_sound_pass_with_their_padding(
    tmp_path: Path, make: Callable[[float], bytes], padding_s: float
) -> None:
    _, segments = cut(tmp_path / "part", make(AUDIO_S + padding_s))
    assert segments[-1].span is not None
    assert segments[-1].span.end_s == pytest.approx(AUDIO_S + padding_s, abs=0.05)


@pytest.mark.parametrize("make", [stated, endless])
def test_two_seconds_more_of_sound_do_not(tmp_path: Path, make: Callable[[float], bytes]) -> None:
    with pytest.raises(LimitExceeded, match="30 minutes") as caught:
        cut(tmp_path / "part", make(AUDIO_S + 2))
    assert caught.value.reason == "MEDIA_TOO_LONG"
