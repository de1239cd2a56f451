"""The real engines of the offline kit, loaded once for all tests of a session."""

import asyncio
import io
from pathlib import Path

import skimage
from PIL import Image, ImageDraw, ImageFont

from services.encode.engines import Engines, load_engines
from services.runtime.settings import Settings
from tests.voices import samples_of

ROOT = Path(__file__).resolve().parents[3]
PICTURES = Path(skimage.__file__).parent / "data"
SPEECH = ROOT / "clients/python/sensorium_client/samples/speech.ogg"

_loading: "list[asyncio.Future[Engines]]" = []


async def real_engines() -> Engines:
    """The engines; converted models are kept in the user's cache folder between runs."""
    if not _loading:
        settings = Settings()
        loading = load_engines(settings.cache_dir, settings.cpu_threads)
        _loading.append(asyncio.ensure_future(loading))
    return await _loading[0]


def picture(name: str) -> bytes:
    """A picture of scikit-image's wheel."""
    return (PICTURES / name).read_bytes()


def as_png(image: Image.Image) -> bytes:
    """A picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def sign(text: str, left_px: int = 200, top_px: int = 300) -> bytes:
    """A white 800 × 600 PNG with one line of black text."""
    image = Image.new("RGB", (800, 600), "white")
    font = ImageFont.load_default(48)
    ImageDraw.Draw(image).text((left_px, top_px), text, "black", font)
    return as_png(image)


def spoken_samples() -> bytes:
    """The speech sample as 16 kHz mono PCM, about 11 s."""
    return samples_of(SPEECH).tobytes()
