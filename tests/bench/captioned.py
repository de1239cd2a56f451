"""Makes ``services/encode/data/captioned_pictures.*``: drawings and their captions as numbers.

    apt-get install openclipart-svg librsvg2-bin fonts-noto-color-emoji unicode-cldr-core \
        tuxpaint-stamps-default
    python -m tests.bench.captioned

The drawings are those of the Open Clip Art Library, which are in the public domain, and
Noto's emoji with their names in Unicode's CLDR. What looks like one of Tux Paint's stamps
is left out, because the stamps are what the platform is measured by, and some of them
come from the same library.
"""

import html
import io
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track

from services.encode.backends.contract import LoadOptions
from services.encode.backends.efficientnet import EfficientNetLites
from services.encode.backends.pictures import decode
from services.encode.captioned import CaptionedPictures, look, save_captioned
from services.encode.engines import ModelChoice
from services.runtime.settings import Settings
from tests.bench.picture_views import trimmed
from tests.bench.stamps import FOLDER as STAMPS

SOURCES = "Open Clip Art Library 0.18 (public domain); Noto Color Emoji and names of Unicode's CLDR"
CLIP_ART = Path("/usr/share/openclipart/svg")
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
NAMES = Path("/usr/share/unicode/cldr/common/annotations/en.xml")

AXES = 256
# Cosine of the looks of two pictures that are versions of one another.
_ALIKE = 0.85
_SIDE_PX = 320
_TAGS_MAX = 4
# The only size of the glyphs in Noto's font.
_GLYPH_PX = 109
# Folders of interface icons, geometry, maps and figures without a name of their own.
_UNNAMED = (
    "buttons/",
    "computer/",
    "geography/map",
    "logos/",
    "people/stickmen/",
    "recreation/games/cards/",
    "shapes/",
    "signs_and_symbols/flags/",
    "signs_and_symbols/led/",
    "signs_and_symbols/map_symbols/",
    "special/",
    "transportation/aiga",
    "unsorted/duplicates/",
)
# A title that so many pictures share is that of a collection, as are these.
_SHARED_TITLE = 4
_COLLECTION = re.compile(
    r"clip ?art|submission|sibmission|symbol_signs|icons$|part of|road signs|map elements|theme",
    re.I,
)
_NO_NAME = re.compile(
    r"\(.*?\)|#?\d+|_|\b(b and w|bw|contour|svg|remix|simple|md|architetto|body part|clothing)\b",
    re.I,
)
_NO_TAGS = frozenset(
    {"cartoon", "clip art", "clipart", "collection", "computer", "contour", "icon", "icons"}
    | {"image", "mapsym", "media", "menu", "png", "public domain", "remix", "signs and symbols"}
    | {"simple", "svg", "symbol", "symbols", "theme", "unsorted", "work"}
)
_NO_FOLDERS = frozenset({"unsorted", "recreation", "signs_and_symbols", "contour"})

Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Captioned:
    """A drawing, and what it shows in a word or a few and in more of them."""

    png: bytes
    wordings: Sequence[str]


def clip_art() -> Iterator[Captioned]:
    """The named drawings of the Open Clip Art Library."""
    paths = sorted(CLIP_ART.rglob("*.svg"))
    sources = {path: path.read_text(encoding="utf-8", errors="replace") for path in paths}
    titles = {path: _inner("dc:title", source) for path, source in sources.items()}
    counts = Counter(titles.values())
    for path in track(paths, "clip art"):
        place = path.relative_to(CLIP_ART)
        if place.as_posix().startswith(_UNNAMED):
            continue
        title = titles[path]
        if not title or counts[title] >= _SHARED_TITLE or _COLLECTION.search(title):
            title = _without_author(path.stem)
        subject = re.findall(r"<rdf:li>(.*?)</rdf:li>", _inner("dc:subject", sources[path]), re.S)
        tags = [_cleaned(tag) for tag in subject if not tag.startswith("hash")]
        folders = [folder for folder in place.parts[:-1] if folder not in _NO_FOLDERS]
        if not folders and not tags:
            continue
        tags += [folder.replace("_", " ") for folder in folders[-1:]]
        png = _drawn(path)
        if png and len(_cleaned(title)) > 2:
            yield Captioned(png, _wordings(_cleaned(title), tags))


def emoji() -> Iterator[Captioned]:
    """Noto's emoji of a single code point, with their names."""
    font = ImageFont.truetype(str(FONT), _GLYPH_PX)
    names: dict[str, str] = {}
    tags: dict[str, list[str]] = {}
    for each in ElementTree.parse(NAMES).iter("annotation"):
        character, text = each.attrib["cp"], each.text or ""
        if each.attrib.get("type") == "tts":
            names[character] = text
        else:
            tags[character] = [tag.strip() for tag in text.split("|")]
    for character, name in names.items():
        if len(character) > 1 or not font.getmask(character, mode="RGBA").getbbox():
            continue
        picture = Image.new("RGB", (_GLYPH_PX * 5 // 4, _GLYPH_PX * 5 // 4), "white")
        ImageDraw.Draw(picture).text((0, 0), character, font=font, embedded_color=True)
        if not _is_blank(picture):
            yield Captioned(_png(picture), _wordings(_cleaned(name), tags.get(character, [])))


def _wordings(name: str, tags: Sequence[str]) -> list[str]:
    """The name, and the name with what else is said of the picture."""
    said = [tag for tag in dict.fromkeys(tags) if tag and tag.lower() not in _NO_TAGS]
    more = [tag for tag in said if tag.lower() != name.lower()][:_TAGS_MAX]
    return [name, ", ".join([name, *more])] if more else [name]


def _inner(tag: str, source: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", source, re.S)
    return found[1].strip() if found else ""


def _cleaned(text: str) -> str:
    words = re.sub(r"[^\w\s'&-]", " ", _NO_NAME.sub(" ", html.unescape(text)))
    return " ".join(words.split()).strip(" -")


def _without_author(stem: str) -> str:
    """A file's name without its author's at the end: "cow_jane_d._01" is "cow_jane"."""
    return (
        re.sub(r"_[a-z.]*_?\d*[a-z]?$", "", stem) if re.search(r"_(\d\d[a-z]?)?$", stem) else stem
    )


def _drawn(path: Path) -> bytes:
    """A drawing on white as a PNG without a margin; empty where it cannot be drawn or shows
    nothing."""
    size = ["--width", str(_SIDE_PX), "--height", str(_SIDE_PX), "--keep-aspect-ratio"]
    command = ["rsvg-convert", *size, "--background-color", "white", str(path)]
    try:
        drawn = subprocess.run(command, capture_output=True, timeout=20, check=True).stdout
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return b""
    with Image.open(io.BytesIO(drawn)) as picture:
        return b"" if _is_blank(picture) else _png(picture)


def _is_blank(picture: Image.Image) -> bool:
    return picture.convert("RGB").getextrema() == ((255, 255),) * 3


def _png(picture: Image.Image) -> bytes:
    """Without its margin: things fill the photos that these are compared with."""
    buffer = io.BytesIO()
    trimmed(picture.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def _looks(pictures: Sequence[bytes], network: EfficientNetLites, title: str) -> Numbers:
    """How each looks."""
    seen = [network.forward([network.prepare(png)])[0] for png in track(pictures, title)]
    return look(np.stack([each.features for each in seen]))


def _unit(rows: Numbers) -> Numbers:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def main() -> None:
    """Draws, looks, leaves out the stamps' look-alikes, and writes the two files."""
    needed = (CLIP_ART, FONT, NAMES, STAMPS)
    if shutil.which("rsvg-convert") is None or not all(path.exists() for path in needed):
        raise SystemExit(__doc__)
    choice, settings = ModelChoice(), Settings()
    options = LoadOptions(settings.cache_dir, settings.cpu_threads)
    network = EfficientNetLites.load(choice.classifier, options)
    drawings = [*clip_art(), *emoji()]
    looks = _looks([each.png for each in drawings], network, "drawings")
    stamps = [_png(decode(path.read_bytes())) for path in sorted(STAMPS.rglob("*.png"))]
    centre = looks.mean(axis=0)
    likeness = _unit(looks - centre) @ _unit(_looks(stamps, network, "stamps") - centre).T
    kept = np.flatnonzero(likeness.max(axis=1) < _ALIKE)
    looks = looks[kept] - centre
    values, rows = np.linalg.svd(looks, full_matrices=False)[1:]
    axes = rows[:AXES].T / np.sqrt(values[:AXES] / values[0])
    wordings = [drawings[index].wordings for index in kept]
    save_captioned(CaptionedPictures(_unit(looks @ axes), axes, centre, wordings), SOURCES)
    print(f"{len(kept)} of {len(drawings)} drawings: the others look like stamps")


if __name__ == "__main__":
    main()
