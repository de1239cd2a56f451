"""What a similarity is worth: the same cosine means different things for different matches.

A question and the sentence that answers it have a cosine of 0.27 (the median), two
pictures of unlike things 0.28. So each kind of query and match has a curve of its
own from the similarity to the probability that the match is a right one (Platt,
"Probabilistic Outputs for Support Vector Machines", 1999), if right and wrong ones
were equally many. Each rises with the similarity.

``python -m tests.bench relevance`` fits the curves, for the offline models, and
prints how well they tell right from wrong. Few pairs stand behind them: a relevance
orders matches of several kinds and gives a threshold a meaning; its second digit has
none.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Sought(Enum):
    """What a query brings."""

    WORDS = "words"
    """A text, or speech that was written out."""
    PICTURE = "picture"
    """A picture or the frames of a video."""


class Found(Enum):
    """How a match was observed."""

    PICTURE = "picture"
    """By its vector alone."""
    LABEL = "label"
    OCR = "ocr"
    SPEECH = "speech"
    PASSAGE = "passage"


@dataclass(frozen=True, slots=True)
class Curve:
    """The probability 1 / (1 + exp(-slope * (similarity - middle)))."""

    slope: float
    middle: float
    """Similarity at which right and wrong are equally probable."""

    def relevance(self, similarity: float) -> float:
        """0 to 1, rising."""
        return 1.0 / (1.0 + math.exp(-self.slope * (similarity - self.middle)))

    def similarity(self, relevance: float) -> float:
        """The similarity of a relevance above 0 and below 1."""
        return self.middle + math.log(relevance / (1.0 - relevance)) / self.slope


CURVES = {
    # The captions of 220 stamps and the stamps: 220 right pairs, the others wrong.
    (Sought.WORDS, Found.PICTURE): Curve(17.4, 0.203),
    (Sought.WORDS, Found.LABEL): Curve(7.8, 0.220),
    # Questions with known evidence: 35 right pairs of printed lines; of sentences, said and
    # written together, 20.
    (Sought.WORDS, Found.OCR): Curve(14.5, 0.199),
    (Sought.WORDS, Found.SPEECH): Curve(11.9, 0.182),
    (Sought.WORDS, Found.PASSAGE): Curve(11.9, 0.182),
    # Stamps of one folder, such as birds, and stamps of two: 1,588 right pairs.
    (Sought.PICTURE, Found.PICTURE): Curve(12.3, 0.409),
    (Sought.PICTURE, Found.LABEL): Curve(12.6, 0.189),
}


def relevance(similarity: float, found: Found, sought: Iterable[tuple[Sought, float]]) -> float:
    """How probable it is that a match is a right one, 0 to 1; of several parts of a query,
    each with its weight, the weighed mean."""
    weighed = [
        (_curve(kind, found).relevance(similarity), weight) for kind, weight in sought if weight > 0
    ]
    return sum(value * weight for value, weight in weighed) / sum(weight for _, weight in weighed)


def similarity_at(least: float, sought: Iterable[Sought]) -> float:
    """A similarity that no match of at least a relevance, above 0 and below 1, is below."""
    return min(_curve(kind, found).similarity(least) for kind in set(sought) for found in Found)


def _curve(sought: Sought, found: Found) -> Curve:
    # What is said and written matches a picture by the words for it, as it does a text.
    return CURVES.get((sought, found)) or CURVES[Sought.WORDS, found]
