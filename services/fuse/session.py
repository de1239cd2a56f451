"""One fusion from its first asset to its context."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.fuse.alignment import Alignment, Focus, align, shows_nothing
from services.fuse.budget import Candidate, Selection, estimate_tokens, extend, select
from services.fuse.fusion import fuse
from services.fuse.lines import Line
from services.fuse.model import Asset, Modality, Piece, Segment, Vector
from services.fuse.timeline import Timeline
from services.fuse.weighting import Weights, weigh
from services.runtime.errors import LimitExceeded

# Longest line; one passage must not take the whole budget.
LINE_CHARS = 900
# What one fusion holds in memory at most: a half-hour recording has about 1,000.
PIECE_COUNT_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Part:
    """One line of context as the language model reads it."""

    citation_key: str
    text: str

    @property
    def words(self) -> str:
        """The line without its key."""
        return self.text.removeprefix(f"[{self.citation_key}]")


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """Token budget of the context; temperature in units of cosine, above 0; what the model
    has read in earlier turns, its keys numbers."""

    token_budget: int
    temperature: float
    earlier: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """A line with its part in the answer."""

    line: Line
    citation_key: str
    similarity: float
    weight: float
    in_context: bool


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """The result of a fusion."""

    evidence: tuple[Weighed, ...]
    gates: dict[Modality, float]
    parts: tuple[Part, ...]
    prefix_kept: bool
    shows_nothing: bool
    """Of what the question asks of the order of time."""
    vector: Vector | None
    piece_count: int
    selected_count: int
    token_count: int


class FusionSession:
    """Takes messages, gives parts as they become final, and at the end the whole."""

    def __init__(self, options: FuseOptions) -> None:
        self._options = options
        self._timeline = Timeline()
        self._lines: list[Line] = []
        self._parts: list[Part] = []
        self._unfound: dict[str, list[Part]] = {}
        for part in options.earlier:
            self._unfound.setdefault(part.words, []).append(part)
        self._read: set[int] = set()
        self._next_key = 1 + max((int(part.citation_key) for part in options.earlier), default=0)
        self._sent_count = 0
        self._sent_tokens = 0
        self._sending = True
        self._segment_vectors: dict[str, Vector] = {}
        self._line_chars = min(LINE_CHARS, options.token_budget * 3 // 2)

    def add_asset(self, asset: Asset) -> None:
        """Announces an asset; errors as ``Timeline.add_asset``."""
        self._timeline.add_asset(asset)

    def add_segment(self, segment: Segment) -> None:
        """Announces a segment; errors as ``Timeline.add_segment``."""
        self._timeline.add_segment(segment)

    def add_segment_vector(self, segment_id: str, vector: Vector) -> None:
        """Takes a segment's vector. Raises InvalidInput UNKNOWN_SEGMENT."""
        self._timeline.check_segment(segment_id)
        self._segment_vectors[segment_id] = vector

    def add_piece(self, piece: Piece) -> None:
        """Takes an observation; errors as ``Timeline.add_piece``."""
        self._check_room(piece)
        self._timeline.add_piece(piece)

    def add_recalled(self, asset: Asset, piece: Piece) -> None:
        """Takes evidence from storage. A bare segment, one without words, only
        gives its vector; a bare frame also ends what the frames before it showed,
        so that a stored video reads as it did live."""
        self._check_room(piece)
        bare = not piece.text.strip()
        if not bare or asset.modality is Modality.VIDEO:
            self._timeline.add_recalled(asset, piece)
        if bare and piece.vector is not None:
            self._segment_vectors[piece.segment_id] = piece.vector

    def end_segment(self, segment_id: str) -> None:
        """All of a segment is known; errors as ``Timeline.end_segment``."""
        self._timeline.end_segment(segment_id)

    def complete_asset(self, asset_id: str) -> None:
        """An asset is cut to its end; errors as ``Timeline.complete_asset``."""
        self._timeline.complete_asset(asset_id)

    def take_parts(self) -> Iterator[Part]:
        """Yields the parts that became final and fit the budget beside those
        yielded before. After the first that does not fit there are no more:
        what was yielded is a prefix of the timeline, but for what was read in earlier turns."""
        for index, part in self._number(self._timeline.take()):
            if index in self._read:
                continue
            tokens = estimate_tokens(part.text)
            self._sending &= self._sent_tokens + tokens <= self._options.token_budget
            if self._sending:
                self._sent_count += 1
                self._sent_tokens += tokens
                yield part

    def finish(self, question: Vector | None, focus: Focus | None = None) -> Fused:
        """Weighs, selects and fuses. ``question`` is float32 [dimension], unit
        length, or None; ``focus`` is what it asks of the order of time."""
        list(self._number(self._timeline.finish()))
        weights = weigh(self._lines, question, self._options.temperature)
        alignment = align(self._lines, focus) if focus else None
        if alignment:
            weights = weights.replaced(self._lines, alignment.reweigh(weights.weight))
        shown_nothing = bool(focus and not alignment and shows_nothing(self._lines, focus))
        tokens = [estimate_tokens(part.text) for part in self._parts]
        selection = self._select(tokens, weights, alignment)
        if self._options.earlier and not selection.prefix_kept:
            self._begin_anew()
        selected = frozenset(selection.indices)
        evidence = tuple(
            Weighed(
                line,
                part.citation_key,
                float(weights.similarity[index]),
                float(weights.weight[index]),
                index in selected,
            )
            for index, (line, part) in enumerate(zip(self._lines, self._parts, strict=True))
        )
        return Fused(
            evidence=evidence,
            gates=weights.gates,
            parts=tuple(self._parts[i] for i in selection.indices if i not in self._read),
            prefix_kept=selection.prefix_kept,
            shows_nothing=shown_nothing,
            vector=fuse(self._lines, weights, self._silent_vectors()),
            piece_count=self._timeline.piece_count,
            selected_count=sum(len(self._lines[index].pieces) for index in selection.indices),
            token_count=sum(tokens[index] for index in selection.indices),
        )

    def _select(
        self, tokens: Sequence[int], weights: Weights, alignment: Alignment | None
    ) -> Selection:
        """The lines of the context. A question about time gets those that it is about and what
        has no time: a small model picks the wrong line of many."""
        eligible = [
            index
            for index, line in enumerate(self._lines)
            if not (alignment and line.modality.timed) or index in alignment.lines
        ]
        candidates = [
            Candidate(self._lines[i].asset.asset_id, tokens[i], float(weights.weight[i]))
            for i in eligible
        ]
        if self._options.earlier:
            return self._extend(eligible, candidates)
        kept = eligible[: self._sent_count] == list(range(self._sent_count))
        selection = select(candidates, self._sent_count if kept else 0, self._options.token_budget)
        return Selection(
            tuple(eligible[i] for i in selection.indices), kept and selection.prefix_kept
        )

    def _extend(self, eligible: Sequence[int], candidates: Sequence[Candidate]) -> Selection:
        """What was read in earlier turns and what the question needs besides; or all anew, where
        not all of that is evidence any more or where it takes too much room."""
        unread = [index for index in range(len(self._lines)) if index not in self._read]
        had = self._read.union(unread[: self._sent_count])
        budget = self._options.token_budget
        place = {index: position for position, index in enumerate(eligible)}
        extended = None
        if not self._unfound and had <= place.keys():
            extended = extend(candidates, frozenset(place[index] for index in had), budget)
        chosen = extended or select(candidates, 0, budget)
        return Selection(tuple(eligible[i] for i in chosen.indices), extended is not None)

    def _number(self, lines: Iterable[Line]) -> Iterator[tuple[int, Part]]:
        """The lines with their keys and places; one that was read has the key that it had."""
        for line in lines:
            index, key = len(self._lines), str(self._next_key)
            part = Part(key, line.render(key, self._line_chars))
            if earlier := self._unfound.get(part.words):
                part = earlier.pop(0)
                self._read.add(index)
                if not earlier:
                    del self._unfound[part.words]
            else:
                self._next_key += 1
            self._lines.append(line)
            self._parts.append(part)
            yield index, part

    def _begin_anew(self) -> None:
        """Number all lines as if nothing had been read before."""
        self._read.clear()
        self._parts = [
            Part(str(key), line.render(str(key), self._line_chars))
            for key, line in enumerate(self._lines, start=1)
        ]

    def _silent_vectors(self) -> list[Vector]:
        spoken = {piece.segment_id for line in self._lines for piece in line.pieces}
        return [
            self._segment_vectors[segment_id]
            for segment_id in sorted(self._segment_vectors)
            if segment_id not in spoken
        ]

    def _check_room(self, piece: Piece) -> None:
        if self._timeline.piece_count >= PIECE_COUNT_MAX:
            raise LimitExceeded(
                "TOO_MUCH_EVIDENCE",
                f"A fusion takes at most {PIECE_COUNT_MAX} pieces of evidence; use fewer assets.",
                subject=piece.asset_id,
            )
