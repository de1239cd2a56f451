"""From class probabilities to a few honest labels.

The class names of ImageNet are narrow ("Egyptian Mau"), so each carries broader
words ("cat, animal"), by which people search. Where no class is sure but their
common word is, such as one of many dog breeds, the word alone is the label.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LABEL_COUNT_MAX = 3
CLASS_PROBABILITY_MIN = 0.4
WORD_PROBABILITY_MIN = 0.45
GUESS_PROBABILITY_MIN = 0.1


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The classes: a name each, and broader words each, the nearest first."""

    names: Sequence[str]
    broader: Sequence[tuple[str, ...]]

    def describe(self, index: int) -> str:
        """A class in words: "Egyptian Mau (cat, animal)"."""
        return _described(self.names[index], self.broader[index])

    def wordings(self, index: int) -> list[str]:
        """A class as texts to embed: "a photo of Egyptian Mau, cat, animal", and each of its
        words alone."""
        words = [self.names[index], *self.broader[index]]
        return [f"a photo of {', '.join(words)}", *words]


@dataclass(frozen=True, slots=True)
class ScoredLabel:
    """A label and its probability, 0 to 1."""

    text: str
    confidence: float


def load_vocabulary(names_file: Path) -> Vocabulary:
    """Class names, a JSON list in the order of the network's outputs, with our broader words."""
    names = json.loads(names_file.read_text(encoding="utf-8"))
    table_file = Path(__file__).parent / "data" / "broader_words.json"
    broader: list[list[str]] = [[] for _ in names]
    for group in json.loads(table_file.read_text(encoding="utf-8"))["groups"]:
        for index in _indices(group["classes"]):
            broader[index] += [word for word in group["words"] if word not in broader[index]]
    return Vocabulary(names, [tuple(words) for words in broader])


def choose_labels(probabilities: NDArray[np.float32], vocabulary: Vocabulary) -> list[ScoredLabel]:
    """The labels of a picture, the surest first; a guess where the networks are
    unsure, none where they have no idea.

    ``probabilities`` is float32 of shape (classes,), summing to 1.
    """
    sure = [
        int(index)
        for index in np.argsort(probabilities)[::-1][:LABEL_COUNT_MAX]
        if probabilities[index] >= CLASS_PROBABILITY_MIN
    ]
    labels = [ScoredLabel(vocabulary.describe(i), float(probabilities[i])) for i in sure]
    said = {word for index in sure for word in vocabulary.broader[index]}
    for word, broader, mass in _sure_words(probabilities, vocabulary):
        if word not in said:
            labels.append(ScoredLabel(_described(word, broader), mass))
            said.update((word, *broader))
    if not labels:
        return _guess(probabilities, vocabulary)
    labels.sort(key=lambda label: label.confidence, reverse=True)
    return labels[:LABEL_COUNT_MAX]


def _guess(probabilities: NDArray[np.float32], vocabulary: Vocabulary) -> list[ScoredLabel]:
    """The likeliest class, said to be a guess: weak evidence is better than none at all."""
    best = int(np.argmax(probabilities))
    if probabilities[best] < GUESS_PROBABILITY_MIN:
        return []
    guess = f"perhaps {vocabulary.describe(best)}"
    return [ScoredLabel(guess, float(probabilities[best]))]


def _sure_words(
    probabilities: NDArray[np.float32], vocabulary: Vocabulary
) -> list[tuple[str, tuple[str, ...], float]]:
    """Words whose classes together are probable: the narrower first, each with its broader ones."""
    mass: dict[str, float] = {}
    context: dict[str, dict[tuple[str, ...], float]] = {}
    for index in np.flatnonzero(probabilities > 1e-4).tolist():
        words = vocabulary.broader[index]
        share = float(probabilities[index])
        for position, word in enumerate(words):
            mass[word] = mass.get(word, 0.0) + share
            tails = context.setdefault(word, {})
            tail = words[position + 1 :]
            tails[tail] = tails.get(tail, 0.0) + share
    found = []
    for word, total in mass.items():
        if total >= WORD_PROBABILITY_MIN:
            broader = max(context[word], key=lambda tail: context[word][tail])
            found.append((word, broader, min(total, 1.0)))
    # A word with more words above it is the narrower one.
    return sorted(found, key=lambda entry: (-len(entry[1]), -entry[2]))


def _described(name: str, broader: Sequence[str]) -> str:
    return f"{name} ({', '.join(broader)})" if broader else name


def _indices(text: str) -> list[int]:
    """The numbers in a list of ranges such as "2-4,9"."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.extend(range(int(first), int(last or first) + 1))
    return numbers
