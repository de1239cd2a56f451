"""WordNet (Princeton, 3.0) of Debian's ``wordnet-base``: words, broader words and glosses of nouns.

The classes of ImageNet are its nouns.
"""

from dataclasses import dataclass
from pathlib import Path

FILE = Path("/usr/share/wordnet/data.noun")


@dataclass(frozen=True, slots=True)
class Noun:
    """Words of one meaning, where the meanings above it stand, and what it means."""

    words: tuple[str, ...]
    above: tuple[str, ...]
    gloss: str


def load(file: Path = FILE) -> dict[str, Noun]:
    """The nouns by their offset, eight digits; none where the package is not installed."""
    nouns: dict[str, Noun] = {}
    if not file.is_file():
        return nouns
    for line in file.read_text(encoding="utf-8").splitlines():
        # The licence stands first, indented.
        if line.startswith("  "):
            continue
        facts, _, gloss = line.partition("|")
        fields = facts.split()
        pointers_at = 4 + 2 * int(fields[3], 16)
        words = [word.replace("_", " ") for word in fields[4:pointers_at:2]]
        pointers = fields[pointers_at + 1 : pointers_at + 1 + 4 * int(fields[pointers_at])]
        above = pointers[1::4]
        kinds = pointers[0::4]
        nouns[fields[0]] = Noun(
            tuple(words),
            tuple(to for kind, to in zip(kinds, above, strict=True) if kind in ("@", "@i")),
            gloss.split(";")[0].strip(),
        )
    return nouns


def broader(nouns: dict[str, Noun], offset: str, count: int) -> list[str]:
    """The first words of the nearest ``count`` meanings above one, the nearest first."""
    found: list[str] = []
    level = [offset]
    while level and len(found) < count:
        level = [above for each in level for above in nouns[each].above]
        found += [word for each in level if (word := nouns[each].words[0]) not in found]
    return found[:count]
