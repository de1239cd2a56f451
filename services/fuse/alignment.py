"""Which evidence lies in time as a question asks: "what is on screen while X is said".

The evidence of all tracks of an asset stands on one timeline, so a relation of
time (Allen 1983, "Maintaining Knowledge about Temporal Intervals") is a relation
of spans. First the anchor, X, is found among the lines of its track, by its
words and by its vector. Then each line of the wanted track is scored by how it
lies to the anchor of its own asset. What is seen stays until the next frame
shows something else; what is heard lasts as long as it is said. A question may also
name a time, "at 1:30": then that is the anchor.
"""

import bisect
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from services.fuse.lines import Line
from services.fuse.model import Origin, Span, Vector
from services.fuse.weighting import MIN_CONFIDENCE

Scores = NDArray[np.float64]

ANCHOR_SCORE_MIN = 0.45
"""Share of the anchor's words found in a line, plus its cosine: below it nothing is the anchor."""
ANCHOR_MARGIN = 0.15
"""Lines that fit about as well as the best one are anchors too: a thing may appear twice."""
ANCHOR_COUNT_MAX = 32
"""What is named all the time is looked around where it fits best, the earlier of equals first."""
NEAR_S = 2.0
"""Over this time the score of what comes next or before falls to 1/e."""
HOLD_S = 5.0
"""The longest that a frame is taken to stay on screen after the last look at it."""
DOUBT = 0.25
"""Exponent of the confidence in a line: at 0.2 it lies as far off as if by 0.8 s."""
ALIGNED_SHARE = 0.7
ANCHOR_SHARE = 0.2
"""Of the weights of a question; the rest is left to all other evidence."""

FAR_SHARE = 0.75
"""What comes after or before a time is all meant, the nearest most: it falls to this share."""
BESIDE_SHARE = 0.1
"""Of what lies beside a moment in which there is nothing: people name times roughly."""

_WORD = re.compile(r"\w+")
_SAME_MOMENT_S = 0.25
_MOMENT_S = 1.0


class Relation(Enum):
    """How the wanted evidence lies to the anchor."""

    AT = "at"
    DURING = "during"
    AFTER = "after"
    BEFORE = "before"
    FIRST = "first"
    LAST = "last"


class Track(Enum):
    """The evidence of a timed asset that is meant; ANY is both."""

    ANY = "any"
    SEEN = "seen"
    HEARD = "heard"

    def has(self, line: Line) -> bool:
        """Whether a line is of this track."""
        if line.locator.span is None:
            return False
        return self is Track.ANY or self is _track_of(line)


@dataclass(frozen=True, slots=True, eq=False)
class Focus:
    """What a question asks of time. ``anchor_vector`` is float32 [dimension], unit length; with
    ``anchor_span``, which counts from the end for LAST, the text is what names the assets."""

    relation: Relation
    anchor_text: str = ""
    anchor_vector: Vector | None = None
    anchor_track: Track = Track.ANY
    target_track: Track = Track.ANY
    anchor_span: Span | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Per line, float64 [lines], 0 to 1: how far it is what was asked for, and the anchor."""

    aligned: Scores
    anchors: Scores

    @property
    def lines(self) -> frozenset[int]:
        """The lines that the answer is made of. The anchor is not one of them: it is in the
        question, and a small model takes it for the answer."""
        return frozenset(np.flatnonzero(self.aligned).tolist())

    def reweigh(self, weights: Scores) -> Scores:
        """Shares the weights out anew, the aligned lines first; they still add up to 1."""
        focused = (1.0 - ALIGNED_SHARE - ANCHOR_SHARE) * weights
        focused += ALIGNED_SHARE * self.aligned / self.aligned.sum()
        anchors = self.anchors if self.anchors.any() else self.aligned
        focused += ANCHOR_SHARE * anchors / anchors.sum()
        shared: Scores = focused / focused.sum()
        return shared


def align(lines: Sequence[Line], focus: Focus) -> Alignment | None:
    """Scores lines against the focus; None where no evidence fits it."""
    if focus.anchor_span:
        return _settle(lines, _score_times(lines, focus, focus.anchor_span), np.zeros(len(lines)))
    anchors = np.zeros(len(lines))
    if focus.relation not in (Relation.FIRST, Relation.LAST):
        anchors = _find_anchors(lines, focus)
        if not anchors.any():
            return None
    if focus.relation is Relation.AT:
        return Alignment(anchors, np.zeros(len(lines)))
    target = focus.target_track
    if target is Track.ANY and anchors.any():
        target = _track_of(lines[int(anchors.argmax())])
    extents = _extents(lines)
    best_first = np.argsort(-anchors, kind="stable")[:ANCHOR_COUNT_MAX].tolist()
    foremost = {index for index in best_first if anchors[index]}
    aligned = np.zeros(len(lines))
    for asset_id in {line.asset.asset_id for line in lines if line.modality.timed}:
        mine = [i for i, line in enumerate(lines) if line.asset.asset_id == asset_id]
        wanted = [i for i in mine if target.has(lines[i]) and not anchors[i]]
        if focus.relation in (Relation.FIRST, Relation.LAST):
            _score_ends(focus.relation, wanted, extents, aligned)
            continue
        for anchor in (i for i in mine if i in foremost):
            for index in wanted:
                score = _score(focus.relation, extents[index], extents[anchor])
                aligned[index] = max(aligned[index], score * anchors[anchor])
    return _settle(lines, aligned, anchors)


def _settle(lines: Sequence[Line], aligned: Scores, anchors: Scores) -> Alignment | None:
    if not aligned.any():
        return None
    # A doubtful name for what is in a picture is not first where something sure lies as well.
    aligned *= [max(line.confidence, MIN_CONFIDENCE) ** DOUBT for line in lines]
    # What is not half as near is not what was asked for.
    aligned[aligned < aligned.max() / 2] = 0.0
    return Alignment(aligned, anchors)


def shows_nothing(lines: Sequence[Line], focus: Focus) -> bool:
    """Whether the timeline itself says that nothing is as the focus wants it, given that
    nothing could be aligned to it.

    What is asked at something that is never said or shown has no answer; nor has what comes
    after the last thing, or what is heard first in a film without a sound. Other questions may
    have been taken wrongly for such about time; so may any, where something without a timeline
    is at hand: "the first sentence of the letter".
    """
    if not lines or not all(line.locator.span for line in lines):
        return False
    match focus.relation:
        case Relation.DURING:
            return True
        case Relation.AFTER | Relation.BEFORE:
            return bool(focus.anchor_span or _find_anchors(lines, focus).any())
        case Relation.FIRST | Relation.LAST:
            return focus.target_track is not Track.ANY
        case Relation.AT:
            return False


def _find_anchors(lines: Sequence[Line], focus: Focus) -> Scores:
    scores = np.array([_fit(line, focus) for line in lines], dtype=np.float64)
    best = scores.max(initial=0.0)
    if best < ANCHOR_SCORE_MIN:
        return np.zeros(len(lines))
    scores[scores < max(ANCHOR_SCORE_MIN, best - ANCHOR_MARGIN)] = 0.0
    anchors: Scores = scores / best
    return anchors


def _fit(line: Line, focus: Focus) -> float:
    if not focus.anchor_track.has(line):
        return 0.0
    wanted = {_stem(word) for word in _WORD.findall(focus.anchor_text.casefold())}
    said = {_stem(word) for word in _WORD.findall(line.text.casefold())}
    share = len(wanted & said) / len(wanted) if wanted else 0.0
    vectors = [piece.vector for piece in line.pieces if piece.vector is not None]
    if focus.anchor_vector is None or not vectors:
        return share
    cosine = max(float(vector @ focus.anchor_vector) for vector in vectors)
    return share + max(cosine, 0.0)


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word


def _extents(lines: Sequence[Line]) -> list[tuple[float, float]]:
    """Start and end of each line in seconds; what is seen lasts until something else is."""
    looks: dict[str, list[float]] = {}
    for line in lines:
        if Track.SEEN.has(line):
            looks.setdefault(line.asset.asset_id, []).append(_seconds(line)[0])
    for starts in looks.values():
        starts.sort()
    extents = []
    for line in lines:
        start, end = _seconds(line)
        if Track.SEEN.has(line):
            starts = looks[line.asset.asset_id]
            later = bisect.bisect_right(starts, end)
            end = min([*starts[later : later + 1], end + HOLD_S])
        extents.append((start, end))
    return extents


def _score(relation: Relation, target: tuple[float, float], anchor: tuple[float, float]) -> float:
    match relation:
        case Relation.AFTER:
            gap = target[0] - anchor[1]
            return math.exp(-max(gap, 0.0) / NEAR_S) if gap >= -_SAME_MOMENT_S else 0.0
        case Relation.BEFORE:
            gap = anchor[0] - target[1]
            return math.exp(-max(gap, 0.0) / NEAR_S) if gap >= -_SAME_MOMENT_S else 0.0
        case _:
            together = min(target[1], anchor[1]) - max(target[0], anchor[0])
            length, lasts = anchor[1] - anchor[0], target[1] - target[0]
            if together < 0:
                return 0.0
            share = together / min(length, lasts) if min(length, lasts) > 0 else 1.0
            # What is there all the time says less of this moment than what comes for it.
            return share * math.sqrt(max(length, _MOMENT_S) / max(length, lasts, _MOMENT_S))


def _score_times(lines: Sequence[Line], focus: Focus, span: Span) -> Scores:
    text = focus.anchor_text.casefold()
    ids = {line.asset.asset_id for line in lines if line.locator.span}
    named = {line.asset.asset_id for line in lines if _is_named(line, text)}
    extents = _extents(lines)
    scores = np.zeros(len(lines))
    for asset_id in ids & named or ids:
        mine = [i for i, line in enumerate(lines) if line.asset.asset_id == asset_id]
        # A frame held on screen does not make the asset longer.
        length_s = max(_seconds(lines[i])[1] for i in mine)
        time = span.start_ns / 1e9, span.end_ns / 1e9
        if focus.relation is Relation.LAST:
            time = length_s - time[1], length_s - time[0]
        # All there is lies before a time past the end.
        if focus.relation is not Relation.BEFORE and time[0] > length_s + NEAR_S:
            continue
        for index in (i for i in mine if focus.target_track.has(lines[i])):
            scores[index] = _score_time(focus.relation, extents[index], time)
    return scores


def _is_named(line: Line, text: str) -> bool:
    return bool(line.asset.name) and line.asset.name.casefold() in text


def _score_time(
    relation: Relation, target: tuple[float, float], time: tuple[float, float]
) -> float:
    start, end = target
    lasts, length = end - start, time[1] - time[0]
    if relation in (Relation.AFTER, Relation.BEFORE):
        gap, over = start - time[1], end - time[1]
        if relation is Relation.BEFORE:
            gap, over = time[0] - end, time[0] - start
        # What has but its end or start there is not meant.
        if over < min(_MOMENT_S, lasts):
            return 0.0
        return FAR_SHARE + (1.0 - FAR_SHARE) * math.exp(-max(gap, 0.0) / NEAR_S)
    together = min(end, time[1]) - max(start, time[0])
    if together < 0:
        beside = length <= _MOMENT_S and -together <= NEAR_S
        return BESIDE_SHARE * math.exp(together / NEAR_S) if beside else 0.0
    enough = min(_MOMENT_S, lasts, length)
    share = min(together / enough, 1.0) if enough else 1.0
    return share * math.sqrt(max(length, _MOMENT_S) / max(length, lasts, _MOMENT_S))


def _score_ends(
    relation: Relation, wanted: Sequence[int], extents: Sequence[tuple[float, float]], into: Scores
) -> None:
    if not wanted:
        return
    if relation is Relation.FIRST:
        first = min(extents[i][0] for i in wanted)
        for index in wanted:
            into[index] = math.exp(-(extents[index][0] - first) / NEAR_S)
    else:
        last = max(extents[i][1] for i in wanted)
        for index in wanted:
            into[index] = math.exp(-(last - extents[index][1]) / NEAR_S)


def _track_of(line: Line) -> Track:
    return Track.HEARD if line.origin is Origin.SPEECH else Track.SEEN


def _seconds(line: Line) -> tuple[float, float]:
    span = line.locator.span or Span(0, 0)
    return span.start_ns / 1e9, span.end_ns / 1e9
