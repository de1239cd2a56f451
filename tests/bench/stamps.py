"""The development half of tuxpaint-stamps: photos and drawings, each with an English caption.

Debian's ``tuxpaint-stamps-default`` brings them. Pictures whose path has an odd
first digit in its SHA-1 are held out: nobody tunes on them or looks at them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/usr/share/tuxpaint/stamps")
_LEFT_OUT = ("symbols/", "cartoon", "flags")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A picture and what it is said to show."""

    path: Path
    caption: str


def development_half(folder: Path = FOLDER) -> Iterator[Stamp]:
    """The stamps to tune on, in order of their paths; none where the package is not installed."""
    for path in sorted(folder.rglob("*.png")):
        name = path.relative_to(folder).as_posix()
        caption_path = path.with_suffix(".txt")
        if any(part in name for part in _LEFT_OUT) or not caption_path.is_file():
            continue
        if int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[0], 16) % 2:
            continue
        caption = caption_path.read_text(encoding="utf-8").splitlines()[0].strip()
        if caption:
            yield Stamp(path, caption)
