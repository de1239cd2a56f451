"""Small media, made when a test needs it; nothing of it is kept in the repository."""

import io
import struct
import tempfile
import wave
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image

SAMPLE_RATE_HZ = 16_000
HLS_PLAYLIST = (
    b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/secret.ts\n"
    b"#EXT-X-ENDLIST\n"
)
TEXT = (
    "The tide comes in twice a day. At noon the harbour was full of small boats.\n\n"
    "Nobody had seen the lighthouse keeper since Tuesday; his lamp was still burning.\n\n"
) * 40


@dataclass(frozen=True, slots=True)
class VideoSpec:
    """How a test video is made. ``container`` is a libavformat name."""

    seconds: float = 6.0
    container: str = "mp4"
    options: tuple[tuple[str, str], ...] = ()
    video_codec: str = "libx264"
    audio_codec: str | None = "aac"
    width_px: int = 320
    height_px: int = 240
    rate: int = 10
    keyframe_interval: int = 10
    noise: bool = False
    """Frames of noise, for files that are large."""


def tone(seconds: float, rate_hz: int = SAMPLE_RATE_HZ, hz: float = 440.0) -> npt.NDArray[np.int16]:
    """A sine, shape (n,), int16."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (np.sin(2 * np.pi * hz * time_s) * 12_000).astype(np.int16)


def speech_like(seconds: float, pause_every_s: float = 5.0) -> npt.NDArray[np.int16]:
    """Noise with pauses of 0.4 s every ``pause_every_s``, shape (n,), int16, 16 kHz."""
    random = np.random.default_rng(7)
    samples = random.normal(0, 4000, round(seconds * SAMPLE_RATE_HZ))
    for start_s in np.arange(pause_every_s, seconds, pause_every_s):
        start = round(start_s * SAMPLE_RATE_HZ)
        samples[start : start + round(0.4 * SAMPLE_RATE_HZ)] *= 0.001
    return np.clip(samples, -32768, 32767).astype(np.int16)


def music(seconds: float) -> npt.NDArray[np.int16]:
    """Four chords of plucked strings, a drum and a cymbal twice a second, shape (n,), int16,
    16 kHz."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    chords = np.array([[220, 262, 330], [175, 220, 262], [262, 330, 392], [196, 247, 294]])
    in_bar_s, drum_s, cymbal_s = time_s % 2.0, time_s % 0.5, (time_s + 0.25) % 0.5
    notes_hz = chords[(time_s // 2.0).astype(int) % 4]
    strings = np.sin(2 * np.pi * notes_hz * in_bar_s[:, None]).sum(1) * np.exp(-1.2 * in_bar_s)
    drum = np.sin(2 * np.pi * (60 + 80 * np.exp(-40 * drum_s)) * drum_s) * np.exp(-25 * drum_s)
    cymbal = np.random.default_rng(0).normal(0, 0.5, len(time_s)) * np.exp(-60 * cymbal_s)
    sound = strings * np.minimum(in_bar_s / 0.01, 1) + 1.5 * drum + cymbal
    samples: npt.NDArray[np.int16] = (sound / np.abs(sound).max() * 10_000).astype(np.int16)
    return samples


def noise(seconds: float, loudness: float) -> npt.NDArray[np.int16]:
    """White noise of an RMS of ``loudness`` of 32768, shape (n,), int16, 16 kHz."""
    samples = np.random.default_rng(1).normal(0, loudness, round(seconds * SAMPLE_RATE_HZ))
    return np.clip(samples, -32768, 32767).astype(np.int16)


def frame_level(index: int) -> int:
    """Grey level of frame ``index`` of a test video, so that a test can tell which one it sees."""
    return 16 + (index * 2) % 220


def _add_sound(output: OutputContainer, codec: str, rate_hz: int) -> AudioStream:
    stream = output.add_stream(codec, rate=rate_hz)
    assert isinstance(stream, AudioStream)
    stream.layout = "mono"
    return stream


def video(spec: VideoSpec | None = None) -> bytes:
    """A video of grey frames that brighten with time, with a tone if it has sound."""
    spec = spec or VideoSpec()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video"
        with av.open(str(path), "w", format=spec.container, options=dict(spec.options)) as output:
            picture = output.add_stream(spec.video_codec, rate=spec.rate)
            assert isinstance(picture, VideoStream)
            picture.width, picture.height, picture.pix_fmt = (
                spec.width_px,
                spec.height_px,
                "yuv420p",
            )
            picture.codec_context.gop_size = spec.keyframe_interval
            sound = _add_sound(output, spec.audio_codec, 48_000) if spec.audio_codec else None
            samples = tone(spec.seconds, 48_000)
            position = 0
            random = np.random.default_rng(1)
            for index in range(round(spec.seconds * spec.rate)):
                shape = (spec.height_px, spec.width_px, 3)
                pixels = np.full(shape, frame_level(index), np.uint8)
                if spec.noise:
                    pixels = random.integers(0, 255, shape, dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, spec.rate)
                output.mux(picture.encode(frame))
                if sound is None:
                    continue
                end = round((index + 1) / spec.rate * 48_000)
                while position < end:
                    block = samples[position : position + 960]
                    heard = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
                    heard.sample_rate, heard.pts = 48_000, position
                    position += 960
                    output.mux(sound.encode(heard))
            output.mux(picture.encode(None))
            if sound is not None:
                output.mux(sound.encode(None))
        return path.read_bytes()


NUMBER_BITS = 12


def numbered_frame(number: int) -> npt.NDArray[np.uint8]:
    """A picture that shows a number below 4096 as bars, the highest bit first: white is 1."""
    bits = [number >> bit & 1 for bit in reversed(range(NUMBER_BITS))]
    row = np.repeat(np.array([16 + 220 * bit for bit in bits], np.uint8), 24)
    return np.broadcast_to(row[None, :, None], (96, len(row), 3)).copy()


def shown_number(picture: Image.Image) -> int:
    """The number that a picture of :func:`numbered_frame` shows."""
    grey = np.asarray(picture.convert("L"), np.float32)
    bars = np.array_split(grey, NUMBER_BITS, axis=1)
    # The middle of each bar: its edges are smeared by compression.
    bits = [bar[:, bar.shape[1] // 4 : -bar.shape[1] // 4].mean() > 128 for bar in bars]
    return int("".join("01"[int(bit)] for bit in bits), 2)


def timed_video(
    pictures: Sequence[npt.NDArray[np.uint8]],
    times_ms: Sequence[int],
    container: str = "matroska",
    keyframe_interval: int = 10,
) -> bytes:
    """A video without sound whose pictures, each of shape (height, width, 3), are shown at the
    given times: at an even rate or not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video"
        with av.open(str(path), "w", format=container) as output:
            stream = output.add_stream("libx264", rate=25)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width = pictures[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
            # Key frames where they are asked for, and nowhere else.
            stream.options = {"x264-params": "scenecut=0"}
            stream.codec_context.gop_size = keyframe_interval
            for pixels, time_ms in zip(pictures, times_ms, strict=True):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        return path.read_bytes()


def mp4(seconds: float = 6.0, *, sound: bool = True) -> bytes:
    """An MP4 with its index at the end, as cameras write it."""
    return video(VideoSpec(seconds, audio_codec="aac" if sound else None))


def faststart_mp4(seconds: float = 6.0) -> bytes:
    """An MP4 with its index first."""
    return video(VideoSpec(seconds, options=(("movflags", "faststart"),)))


def fragmented_mp4(seconds: float = 6.0) -> bytes:
    """An MP4 in fragments, as live streams use it."""
    flags = "frag_keyframe+empty_moov+default_base_moof"
    return video(VideoSpec(seconds, options=(("movflags", flags),)))


def webm(seconds: float = 6.0, *, live: bool = False) -> bytes:
    """A WebM; ``live`` leaves out its length, as a browser's recorder does."""
    options = (("live", "1"),) if live else ()
    return video(VideoSpec(seconds, "webm", options, "libvpx", "libopus"))


def rotated_mp4(seconds: float = 2.0) -> bytes:
    """A 320 × 240 MP4 without sound whose track says: turn me clockwise by 90 degrees."""
    return turned(mp4(seconds, sound=False), 240)


def turned(mp4_content: bytes, height_px: int) -> bytes:
    """An MP4 of one track that says from now on: turn me clockwise by 90 degrees."""
    content = bytearray(mp4_content)
    header = content.index(b"tkhd") + 4
    clockwise = (0, 0x10000, 0, -0x10000, 0, 0, height_px << 16, 0, 0x40000000)
    struct.pack_into(">9i", content, header + 40, *clockwise)
    return bytes(content)


def truncated_mp4() -> bytes:
    """The first two thirds of an MP4 whose index would have come at the end."""
    content = mp4()
    return content[: len(content) * 2 // 3]


def wav(samples: npt.NDArray[np.int16], rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """A WAV file of mono samples, shape (n,)."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(rate_hz)
        output.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def endless_wav(samples: npt.NDArray[np.int16], rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """A WAV file as a pipe writes it: the header leaves the length open."""
    content = bytearray(wav(samples, rate_hz))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    return bytes(content)


def sound_file(samples: npt.NDArray[np.int16], container: str, codec: str) -> bytes:
    """Samples, shape (n,), 16 kHz mono, as ("mp3", "libmp3lame"), ("ogg", "libopus") and so on."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = _add_sound(output, codec, 48_000 if "opus" in codec else SAMPLE_RATE_HZ)
        resampler = av.AudioResampler(
            stream.codec_context.format, stream.layout, stream.codec_context.sample_rate
        )
        for start in range(0, len(samples), 1600):
            block = samples[start : start + 1600]
            frame = av.AudioFrame.from_ndarray(block[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
            for piece in resampler.resample(frame):
                output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def mp3(samples: npt.NDArray[np.int16]) -> bytes:
    """An MP3 file of samples, shape (n,), 16 kHz."""
    return sound_file(samples, "mp3", "libmp3lame")


def picture(width_px: int = 640, height_px: int = 480) -> Image.Image:
    """An RGB picture: red grows to the right, green downwards, the top left corner is blue."""
    across = np.linspace(0, 255, width_px, dtype=np.uint8)
    down = np.linspace(0, 255, height_px, dtype=np.uint8)
    pixels = np.zeros((height_px, width_px, 3), np.uint8)
    pixels[..., 0] = across[None, :]
    pixels[..., 1] = down[:, None]
    pixels[: height_px // 4, : width_px // 4, 2] = 255
    return Image.fromarray(pixels)


def encoded(image: Image.Image, encoder: str, **options: object) -> bytes:
    """A picture as a file; ``encoder`` is Pillow's name, such as "JPEG"."""
    buffer = io.BytesIO()
    image.save(buffer, encoder, **options)
    return buffer.getvalue()


def jpeg(width_px: int = 640, height_px: int = 480, orientation: int = 1) -> bytes:
    """A JPEG, with an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(width_px, height_px), "JPEG", quality=92, exif=exif)


def png(width_px: int = 640, height_px: int = 480) -> bytes:
    """A PNG."""
    return encoded(picture(width_px, height_px), "PNG")


def noisy_png(width_px: int = 400, height_px: int = 300) -> bytes:
    """A PNG that compresses badly, so that it comes in many pieces."""
    pixels = np.random.default_rng(3).integers(0, 255, (height_px, width_px, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), "PNG")


def png_bomb(side_px: int = 15_000) -> bytes:
    """A PNG of well under a megabyte that unpacks to ``side_px``² pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(9)
    row = bytes(1 + side_px * 3)
    body = b"".join(packer.compress(row) for _ in range(side_px)) + packer.flush()
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
