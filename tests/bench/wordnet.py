"""WordNet (Princeton, 3.0) of Debian's ``wordnet-base``: words, broader words and glosses of nouns.

The classes of ImageNet are its nouns.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FILE = Path("/usr/share/wordnet/data.noun")
INDEX = Path("/usr/share/wordnet/index.noun")
# Numbers of WordNet's files of animals, artifacts, bodies, food, natural objects and
# phenomena, people, plants and substances: what can be seen.
_SEEN = frozenset({"05", "06", "08", "13", "17", "18", "19", "20", "27"})
_WORDS_MAX = 3


@dataclass(frozen=True, slots=True)
class Noun:
    """Words of one meaning, where the meanings above it stand, and what it means."""

    words: tuple[str, ...]
    above: tuple[str, ...]
    gloss: str
    is_seen: bool


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
            fields[1] in _SEEN,
        )
    return nouns


def load_index(file: Path = INDEX) -> dict[str, list[str]]:
    """The meanings of each noun by their offsets, the most usual first; none where the package
    is not installed."""
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").splitlines()
    entries = [line.split() for line in lines if not line.startswith("  ")]
    return {fields[0].replace("_", " "): fields[-int(fields[2]) :] for fields in entries}


def things(text: str, nouns: dict[str, Noun], index: dict[str, list[str]]) -> list[str]:
    """The offsets of the things that a text names, the longest names first tried."""
    said = re.findall(r"[\w'-]+", text.lower())
    found: list[str] = []
    start = 0
    while start < len(said):
        for count in range(min(_WORDS_MAX, len(said) - start), 0, -1):
            name = " ".join(said[start : start + count])
            meanings = index.get(name) or index.get(name.removesuffix("s")) or []
            seen = [offset for offset in meanings if nouns[offset].is_seen]
            if seen and len(name) > 2:
                found.append(seen[0])
                break
        start += count
    return found


def broader(nouns: dict[str, Noun], offset: str, count: int) -> list[str]:
    """The first words of the nearest ``count`` meanings above one, the nearest first."""
    found: list[str] = []
    level = [offset]
    while level and len(found) < count:
        level = [above for each in level for above in nouns[each].above]
        found += [word for each in level if (word := nouns[each].words[0]) not in found]
    return found[:count]
