"""Groups the pieces of one segment into units: what shares a line of context."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.fuse.model import Locator, Modality, Origin, Piece, Segment, SegmentKind, cover
from services.fuse.order import Position, lower_bound, natural, origin_rank, position

# Lines of writing share a line of context up to this many characters.
OCR_LINE_CHARS = 240

# Segment, origin, evidence.
TieBreak = tuple[tuple[str, int], int, tuple[str, int]]

_SEPARATOR = {Origin.LABEL: ", ", Origin.OCR: " / "}


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """Pieces of one origin that share a line, in order; at least one."""

    pieces: tuple[Piece, ...]

    @property
    def origin(self) -> Origin:
        """Of all its pieces."""
        return self.pieces[0].origin

    @property
    def text(self) -> str:
        """The words of all pieces, white space collapsed."""
        separator = _SEPARATOR.get(self.origin, " ")
        return separator.join(_collapse(piece.text) for piece in self.pieces)

    @property
    def likeness(self) -> tuple[str, ...]:
        """Equal for units that say the same, in whatever order and case."""
        return tuple(sorted({normalise(piece.text) for piece in self.pieces}))

    @property
    def locator(self) -> Locator:
        """Covers all pieces."""
        return cover(piece.locator for piece in self.pieces)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Units that stand at one position. A frame is one group, even an empty
    one: an empty frame ends what the frames before it showed."""

    position: Position
    tie_break: TieBreak
    frame: bool
    units: tuple[Unit, ...]

    @property
    def key(self) -> tuple[Position, TieBreak]:
        """Total order within an asset, whatever the order of arrival."""
        return self.position, self.tie_break


def group_segment(modality: Modality, segment: Segment, pieces: Iterable[Piece]) -> list[Group]:
    """Returns the groups of a segment that is over. Pieces without words are
    left out."""
    units = _units(sorted((p for p in pieces if p.text.strip()), key=_order_in_segment))
    if segment.kind is SegmentKind.VIDEO_FRAME:
        frame_position = lower_bound(modality, segment)
        if segment.locator.span:
            span = segment.locator.span
            frame_position = (span.end_ns, span.start_ns, 0, 0, 0)
        return [
            Group(frame_position, (natural(segment.segment_id), 0, ("", 0)), True, tuple(units))
        ]
    return [
        Group(
            position(modality, segment, unit.origin, unit.locator),
            (
                natural(segment.segment_id),
                origin_rank(unit.origin),
                natural(unit.pieces[0].evidence_id),
            ),
            False,
            (unit,),
        )
        for unit in units
    ]


def normalise(text: str) -> str:
    """Equal for texts that differ in case and white space only."""
    return _collapse(text).casefold()


def _units(pieces: Sequence[Piece]) -> list[Unit]:
    by_origin: dict[Origin, list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_origin[piece.origin].append(piece)
    units: list[Unit] = []
    for origin in Origin:
        found = by_origin.get(origin, [])
        if not found:
            continue
        if origin is Origin.LABEL:
            units.append(Unit(tuple(found)))
        elif origin is Origin.OCR:
            units.extend(_writing(found))
        else:
            units.extend(Unit((piece,)) for piece in found)
    return units


def _writing(pieces: Sequence[Piece]) -> list[Unit]:
    units: list[Unit] = []
    line: list[Piece] = []
    length = 0
    for piece in pieces:
        added = len(piece.text) + 3
        if line and length + added > OCR_LINE_CHARS:
            units.append(Unit(tuple(line)))
            line, length = [], 0
        line.append(piece)
        length += added
    units.append(Unit(tuple(line)))
    return units


def _order_in_segment(piece: Piece) -> tuple[int, int, int, int, int, float, tuple[str, int]]:
    """By time, characters, then region; labels the surest first, writing as it was read."""
    span, region, chars = piece.locator.span, piece.locator.region, piece.locator.chars
    if piece.origin is Origin.OCR:
        # Two words of a row may differ in height by a pixel: who read them knows the order.
        region = None
    confidence = -piece.confidence if piece.origin is Origin.LABEL else 0.0
    return (
        span.end_ns if span else 0,
        span.start_ns if span else 0,
        chars.start if chars else 0,
        region.top_px if region else 0,
        region.left_px if region else 0,
        confidence,
        natural(piece.evidence_id),
    )


def _collapse(text: str) -> str:
    return " ".join(text.split())
