"""Which evidence an answer rests on.

A small language model cannot be trusted to cite, so what it writes is only one
of three grounds. A marker such as ``[2]`` counts where it names evidence that
was in the context. A sentence that shares its content words with a piece of
evidence cites it. And each asset that the answer leaves uncited is represented
by its weightiest evidence, said to be just that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from services.gateway.markers import MARKER, keys_of

_SENTENCE = re.compile(r"[^\n]+?(?:[.!?]+(?=\s|\Z)|\n|\Z)")
_WORD = re.compile(r"[^\W\d_]{3,}|\d+(?:[.,]\d+)*")
_STOP_WORDS = frozenset(
    """
    the and for are was were been being has have had this that these those with from into onto
    over under about there their they them then than what which who whom whose when where why
    how not but its his her she him you your our can could would should will shall may might
    must does did doing done also very more most some such only own same too just image
    picture photo photograph video recording audio file clip frame shows show shown seen heard
    says said answer evidence question here appears appear appearing contains contain containing
    jpg png mp4 wav ogg
    """.split()  # noqa: SIM905 - easier to read and to extend than a list of strings
)
COMMON_WORDS_ENOUGH = 3
"""So many shared content words make a match whatever the length of the evidence."""
COVERAGE_ENOUGH = 0.3
"""Or this share of the evidence's content words."""


class Basis(Enum):
    """Why a piece of evidence is cited."""

    MARKER = "marker"
    MATCH = "match"
    WEIGHT = "weight"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A piece of evidence that may be cited."""

    key: str
    asset_id: str
    text: str
    weight: float


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation: which evidence, why, and for which characters of the answer."""

    key: str
    basis: Basis
    answer_range: tuple[int, int] | None = None


def _stem(word: str) -> str:
    word = word.lower()
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def content_words(text: str) -> frozenset[str]:
    """The words of a text that carry meaning, lower-case, crudely stemmed."""
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(_stem(word) for word in words if word not in _STOP_WORDS)


def sentences(answer: str) -> list[tuple[int, int]]:
    """Character ranges of the sentences of an answer, blank ones left out."""
    return [match.span() for match in _SENTENCE.finditer(answer) if match.group().strip(" .!?\n\t")]


def supports(evidence_words: frozenset[str], sentence_words: frozenset[str]) -> bool:
    """Whether evidence and sentence share enough content words."""
    common = len(evidence_words & sentence_words)
    if not common:
        return False
    return common >= COMMON_WORDS_ENOUGH or common / len(evidence_words) >= COVERAGE_ENOUGH


def cite(answer: str, candidates: Sequence[Candidate]) -> list[Cited]:
    """The citations of an answer in the order of what they support, each key once."""
    known = {candidate.key: candidate for candidate in candidates}
    words = {candidate.key: content_words(candidate.text) for candidate in candidates}
    cited: dict[str, Cited] = {}
    for start, end in sentences(answer):
        sentence = answer[start:end]
        for marker in MARKER.finditer(sentence):
            for key in keys_of(marker.group(1)):
                if key in known:
                    cited.setdefault(key, Cited(key, Basis.MARKER, (start, end)))
        sentence_words = content_words(MARKER.sub(" ", sentence))
        for candidate in sorted(candidates, key=lambda each: -each.weight):
            if supports(words[candidate.key], sentence_words):
                cited.setdefault(candidate.key, Cited(candidate.key, Basis.MATCH, (start, end)))
    covered = {known[key].asset_id for key in cited}
    for candidate in sorted(candidates, key=lambda each: -each.weight):
        if candidate.asset_id not in covered:
            covered.add(candidate.asset_id)
            cited[candidate.key] = Cited(candidate.key, Basis.WEIGHT)
    return list(cited.values())
