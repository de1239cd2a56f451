"""Folds the groups of one asset, in order, into lines of context.

Consecutive frames that show the same become one line with a span; what a tile
of a picture shows again of its view makes no second line. Lines are ordered by
their end; a line leaves the fold when it can no longer grow and no line that
still grows can end up before it. So what has left is never changed, and the
lines of a prefix of the groups are a prefix of the lines.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from services.fuse.model import Asset, Locator, Modality, Origin, Piece, Span, cover
from services.fuse.units import Group, Unit, normalise

NAME_CHARS = 40

_VERB = {
    Origin.SPEECH: "heard",
    Origin.LABEL: "seen",
    Origin.OCR: "reads",
    Origin.PASSAGE: "says",
    Origin.CAPTION: "shows",
}
# Client text must not look like a citation key or break a line.
_BRACKETS = str.maketrans({"[": "(", "]": ")"})

_DOUBT = "perhaps "

_Key = tuple[object, ...]


@dataclass(slots=True, eq=False)
class Line:
    """One line of context before it has its citation key. Its text is final; more
    pieces that say nothing new may be added to what it rests on."""

    asset: Asset
    text: str
    pieces: list[Piece]

    @property
    def origin(self) -> Origin:
        """Of all its pieces."""
        return self.pieces[0].origin

    @property
    def modality(self) -> Modality:
        """Of the asset."""
        return self.asset.modality

    @property
    def locator(self) -> Locator:
        """Covers all its pieces."""
        return cover(piece.locator for piece in self.pieces)

    @property
    def confidence(self) -> float:
        """That of the surest piece: a doubtful second label does not make the
        first one doubtful. Text that was written, not observed, is certain."""
        if self.origin is Origin.PASSAGE:
            return 1.0
        return max(piece.confidence for piece in self.pieces)

    def render(self, citation_key: str, limit_chars: int) -> str:
        """Returns the line as the language model reads it, such as
        ``[3] clip.mp4 0:04-0:06 heard: good morning``, at most ``limit_chars``
        long where that leaves room for some words."""
        span = self.locator.span if self.modality.timed else None
        when = f" {_clock_span(span)}" if span else ""
        head = f"[{citation_key}] {clean_name(self.asset.name)}{when} {_VERB[self.origin]}: "
        words = self.text.translate(_BRACKETS)
        room = max(limit_chars - len(head), 16)
        if len(words) > room:
            words = words[: room - 1].rstrip() + "…"
        return head + words


@dataclass(slots=True)
class _OpenLine:
    first: Unit
    key: _Key
    pieces: list[Piece]


@dataclass(frozen=True, slots=True)
class _Statement:
    """What a piece says: of a label its name and its broader words, of others the text."""

    parts: frozenset[str]
    doubtful: bool = False

    def covers(self, other: "_Statement") -> bool:
        """Whether the other says nothing that this one does not: "cat (animal)" covers
        "animal" and "perhaps cat (animal)"."""
        return other.parts <= self.parts and (other.doubtful or not self.doubtful)


@dataclass(slots=True)
class LineFold:
    """The fold over one asset. Give it groups in the order of their keys."""

    asset: Asset
    _open: dict[tuple[Origin, int], _OpenLine] = field(default_factory=dict)
    _held: list[tuple[_Key, int, Line]] = field(default_factory=list)
    _serial: Iterator[int] = field(default_factory=itertools.count)
    _said: dict[Origin, list[tuple[_Statement, Line]]] = field(default_factory=dict)

    def push(self, group: Group) -> Iterator[Line]:
        """Takes the next group; yields the lines that became final."""
        if group.frame:
            self._push_frame(group)
        else:
            for unit in group.units:
                unsaid = self._without_repetition(unit)
                if unsaid is not None:
                    key = _line_key(group, unit.origin, 0)
                    self._hold(key, self._line(unsaid))
        yield from self._release()

    def finish(self) -> Iterator[Line]:
        """Ends the asset; yields the rest."""
        self._close(self._open.values())
        self._open = {}
        yield from self._release()

    def _without_repetition(self, unit: Unit) -> Unit | None:
        """What the view of a picture showed, its tiles show again, at times less
        precisely: pieces that repeat an earlier line are added to it. Returns the
        rest. Writing comes without repeats: the same words are at two places."""
        if self.asset.modality is not Modality.IMAGE or unit.origin is Origin.OCR:
            return unit
        unsaid = []
        for piece in unit.pieces:
            statement = _statement(piece)
            said = self._said.get(unit.origin, ())
            earlier = (line for known, line in said if known.covers(statement))
            if line := next(earlier, None):
                line.pieces.append(piece)
            else:
                unsaid.append(piece)
        return Unit(tuple(unsaid)) if unsaid else None

    def _line(self, unit: Unit) -> Line:
        line = Line(self.asset, unit.text, list(unit.pieces))
        if self.asset.modality is Modality.IMAGE:
            said = self._said.setdefault(unit.origin, [])
            said.extend((_statement(piece), line) for piece in unit.pieces)
        return line

    def _push_frame(self, group: Group) -> None:
        shown: dict[tuple[Origin, int], _OpenLine] = {}
        slots: dict[Origin, int] = {}
        for unit in group.units:
            slot = (unit.origin, slots.get(unit.origin, 0))
            slots[unit.origin] = slot[1] + 1
            key = _line_key(group, *slot)
            growing = self._open.pop(slot, None)
            if growing is not None and growing.first.likeness == unit.likeness:
                growing.key = key
                growing.pieces.extend(unit.pieces)
                shown[slot] = growing
                continue
            if growing is not None:
                self._close([growing])
            shown[slot] = _OpenLine(unit, key, list(unit.pieces))
        self._close(self._open.values())
        self._open = shown

    def _close(self, lines: Iterable[_OpenLine]) -> None:
        for line in lines:
            self._hold(line.key, Line(self.asset, line.first.text, line.pieces))

    def _hold(self, key: _Key, line: Line) -> None:
        heapq.heappush(self._held, (key, next(self._serial), line))

    def _release(self) -> Iterator[Line]:
        earliest = min((line.key for line in self._open.values()), default=None)
        while self._held and (earliest is None or self._held[0][0] < earliest):
            yield heapq.heappop(self._held)[2]


def clean_name(name: str) -> str:
    """Returns a client's name for an asset, safe within a line of context: one
    line, no brackets or control characters, at most ``NAME_CHARS`` long."""
    printable = "".join(char if char.isprintable() else " " for char in name)
    cleaned = " ".join(printable.replace("[", " ").replace("]", " ").split())
    if len(cleaned) > NAME_CHARS:
        cleaned = cleaned[: NAME_CHARS - 1].rstrip() + "…"
    return cleaned or "unnamed"


def _statement(piece: Piece) -> _Statement:
    text = normalise(piece.text)
    if piece.origin is not Origin.LABEL:
        return _Statement(frozenset({text}))
    sure = text.removeprefix(_DOUBT)
    name, _, broader = sure.removesuffix(")").partition(" (")
    return _Statement(frozenset({name, *broader.split(", ")} - {""}), doubtful=sure != text)


def _line_key(group: Group, origin: Origin, slot: int) -> _Key:
    return (*group.position, *group.tie_break, list(Origin).index(origin), slot)


def _clock_span(span: Span) -> str:
    start, end = _clock(span.start_ns), _clock(span.end_ns)
    return start if start == end else f"{start}-{end}"


def _clock(offset_ns: int) -> str:
    seconds = (offset_ns + 500_000_000) // 1_000_000_000
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
