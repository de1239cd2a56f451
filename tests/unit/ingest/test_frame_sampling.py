"""Ways of sampling on made videos: true times, key frames, shots, and never past the budget."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from services.ingest.frames import FrameSource, VideoPacket
from services.ingest.looks import KEPT_COUNT, Looks
from services.ingest.model import Picture, Segment, SegmentKind
from services.ingest.options import CutOptions, FrameSampling, SamplingMethod
from services.ingest.sampling import FILLED_COUNT
from tests import media
from tests.unit.ingest.conftest import cut

COLOURS = ((200, 40, 40), (30, 160, 60), (40, 60, 200), (220, 200, 60), (120, 40, 160))


def frames(path: Path, content: bytes, sampling: FrameSampling) -> list[Segment]:
    _, segments = cut(path, content, CutOptions(sampling))
    return [segment for segment in segments if segment.kind is SegmentKind.VIDEO_FRAME]


def start_s(segment: Segment) -> float:
    assert segment.span is not None
    assert segment.span.start_s == segment.span.end_s
    return segment.span.start_s


def picture(segment: Segment) -> Image.Image:
    assert isinstance(segment.payload, Picture)
    return Image.open(io.BytesIO(segment.payload.data))


@settings(max_examples=25)
@given(
    gaps_ms=st.lists(st.integers(10, 400), min_size=8, max_size=60),
    first_ms=st.integers(0, 3000),
    container=st.sampled_from(["matroska", "mp4", "mpegts"]),
    keyframe_interval=st.integers(1, 30),
    method=st.sampled_from(SamplingMethod),
    count_max=st.integers(1, 40),
    rate_hz=st.one_of(st.none(), st.floats(0.2, 30)),
)
def test_a_frame_is_shown_at_its_true_time_at_any_rate(
    tmp_path_factory: pytest.TempPathFactory,
    gaps_ms: list[int],
    first_ms: int,
    container: str,
    keyframe_interval: int,
    method: SamplingMethod,
    count_max: int,
    rate_hz: float | None,
) -> None:
    times_ms = [first_ms + sum(gaps_ms[:index]) for index in range(len(gaps_ms))]
    pictures = [media.numbered_frame(index) for index in range(len(times_ms))]
    content = media.timed_video(pictures, times_ms, container, keyframe_interval)
    path = tmp_path_factory.mktemp("cut") / "part"
    found = frames(path, content, FrameSampling(method, count_max, rate_hz))
    assert 1 <= len(found) <= count_max
    for segment in found:
        # An asset's time begins with its first frame.
        true_s = (times_ms[media.shown_number(picture(segment))] - first_ms) / 1000
        assert start_s(segment) == pytest.approx(true_s, abs=0.002)
    assert [start_s(segment) for segment in found] == sorted({start_s(one) for one in found})
    assert [segment.index for segment in found] == list(range(len(found)))


@settings(max_examples=20)
@given(
    count=st.integers(30, 110),
    keyframe_interval=st.integers(1, 40),
    container=st.sampled_from(["matroska", "mp4"]),
)
def test_every_bin_has_its_frame_wherever_the_key_frames_are(
    tmp_path_factory: pytest.TempPathFactory, count: int, keyframe_interval: int, container: str
) -> None:
    pictures = [media.numbered_frame(index) for index in range(count)]
    times_ms = [index * 100 for index in range(count)]
    content = media.timed_video(pictures, times_ms, container, keyframe_interval)
    found = frames(tmp_path_factory.mktemp("cut") / "part", content, FrameSampling())
    bin_s = count / 10 / FILLED_COUNT
    assert len(found) == FILLED_COUNT
    assert max(np.diff([start_s(segment) for segment in found])) < 2 * bin_s + 0.1


def test_key_frames_are_those_of_the_container(tmp_path: Path) -> None:
    times_ms = [index * 100 for index in range(60)]
    pictures = [media.numbered_frame(index) for index in range(60)]
    content = media.timed_video(pictures, times_ms, keyframe_interval=15)
    found = frames(tmp_path / "part", content, FrameSampling(SamplingMethod.KEYFRAMES))
    assert [media.shown_number(picture(segment)) for segment in found] == [0, 15, 30, 45]
    few = FrameSampling(SamplingMethod.KEYFRAMES, count_max=2)
    assert len(frames(tmp_path / "part", content, few)) == 2


def shot(index: int, frame: int) -> npt.NDArray[np.uint8]:
    """A patterned wall of one colour, past which a small block moves."""
    pixels = np.random.default_rng(index).integers(-30, 30, (120, 160, 3))
    wall = pixels + np.array(COLOURS[index % len(COLOURS)])
    shown: npt.NDArray[np.uint8] = np.clip(wall, 0, 255).astype(np.uint8)
    left = 4 * frame % 140
    shown[50:70, left : left + 16] = 250
    return shown


@settings(max_examples=12)
@given(lengths_s=st.lists(st.floats(0.8, 4.0), min_size=1, max_size=5))
def test_every_shot_is_shown_once(
    tmp_path_factory: pytest.TempPathFactory, lengths_s: list[float]
) -> None:
    counts = [round(length_s * 25) for length_s in lengths_s]
    pictures = [shot(index, frame) for index, count in enumerate(counts) for frame in range(count)]
    content = media.timed_video(pictures, [index * 40 for index in range(len(pictures))])
    path = tmp_path_factory.mktemp("cut") / "part"
    found = frames(path, content, FrameSampling(SamplingMethod.SCENE, count_max=256))
    ends_s = np.cumsum(counts) * 0.04
    shown = [int(np.searchsorted(ends_s, start_s(segment), side="right")) for segment in found]
    assert shown == list(range(len(counts)))


def test_a_shot_is_shown_later_where_the_budget_has_a_frame_of_its_beginning(
    tmp_path: Path,
) -> None:
    counts = [9, 81, 510]
    pictures = [shot(index, frame) for index, count in enumerate(counts) for frame in range(count)]
    content = media.timed_video(pictures, [index * 100 for index in range(len(pictures))])
    found = frames(tmp_path / "part", content, FrameSampling(SamplingMethod.SCENE))
    ends_s = np.cumsum(counts) / 10
    shown = [int(np.searchsorted(ends_s, start_s(segment), side="right")) for segment in found]
    assert sorted(set(shown)) == [0, 1, 2]


def test_a_film_whose_key_frame_is_not_shown_gives_its_first_frame_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a phone has trimmed it: the key frame is there, but lies before the beginning."""

    def decode_alone(source: FrameSource, packet: VideoPacket) -> None:
        source.decode(packet)
        source.decode(None)
        source.context.flush_buffers()

    monkeypatch.setattr(FrameSource, "decode_alone", decode_alone)
    pictures = [media.numbered_frame(index) for index in range(40)]
    times_ms = [index * 100 for index in range(40)]
    content = media.timed_video(pictures, times_ms, keyframe_interval=100)
    found = frames(tmp_path / "part", content, FrameSampling(SamplingMethod.KEYFRAMES))
    assert [media.shown_number(picture(segment)) for segment in found] == [0]


def test_a_long_shot_is_looked_at_again(tmp_path: Path) -> None:
    pictures = [shot(0, frame) for frame in range(25 * 5)]
    content = media.timed_video(pictures, [index * 200 for index in range(len(pictures))])
    found = frames(tmp_path / "part", content, FrameSampling(SamplingMethod.SCENE))
    assert len(found) == 3
    assert max(np.diff([start_s(segment) for segment in found])) <= 10.5


def test_a_shorter_flash_than_a_shot_makes_no_shot(tmp_path: Path) -> None:
    pictures = [shot(0, frame) for frame in range(75)]
    pictures[40] = np.full_like(pictures[40], 255)
    content = media.timed_video(pictures, [index * 40 for index in range(len(pictures))])
    found = frames(tmp_path / "part", content, FrameSampling(SamplingMethod.SCENE))
    assert len(found) <= 2
    assert all(np.asarray(picture(segment)).mean() < 200 for segment in found)


def slide(words: str, seed: int) -> Image.Image:
    """A dark slide with words in small letters, noisy and compressed as a film is."""
    page = Image.new("RGB", (1280, 720), (40, 44, 52))
    font = ImageFont.load_default(size=20)
    ImageDraw.Draw(page).text((203, 307), words, fill="white", font=font)
    noise = np.random.default_rng(seed).normal(0, 5, (720, 1280, 3))
    pixels = np.clip(np.asarray(page, np.float32) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def test_what_stands_still_is_told_and_a_changed_digit_is_seen() -> None:
    looks = Looks()
    pages = [slide(f"Counter {digit}", digit) for digit in range(KEPT_COUNT)]
    assert [looks.same_as(page, index) for index, page in enumerate(pages)] == [None] * KEPT_COUNT
    again = [slide(f"Counter {digit}", 100 + digit) for digit in range(KEPT_COUNT)]
    assert [looks.same_as(page, 50) for page in again] == list(range(KEPT_COUNT))
    assert looks.same_as(again[0].rotate(90, expand=True), 60) is None


def test_another_colour_of_the_same_brightness_is_seen() -> None:
    looks = Looks()
    red, green = (Image.new("RGB", (1280, 720), (40, 44, 52)) for _ in range(2))
    red.paste((255, 0, 0), (600, 300, 620, 320))
    green.paste((0, 130, 0), (600, 300, 620, 320))
    assert looks.same_as(red, 0) is None
    assert looks.same_as(green, 1) is None
    assert looks.same_as(red, 2) == 0


def test_a_still_video_is_said_to_be_the_same(tmp_path: Path) -> None:
    still, moved = media.numbered_frame(1), media.numbered_frame(2)
    pictures = [still] * 40 + [moved] * 20 + [still] * 20
    content = media.timed_video(pictures, [index * 100 for index in range(len(pictures))])
    found = frames(tmp_path / "part", content, FrameSampling(rate_hz=1))
    assert [segment.same_as for segment in found] == [None, 0, 0, 0, None, 4, 0, 0]
