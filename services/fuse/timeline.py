"""The timeline of a turn: all evidence of all assets in one final order.

Assets stand in the order of their announcement; within an asset evidence is
ordered as ``order.py`` says. Lines are handed out as soon as nothing can come
before them any more, so that the language model can read while the upload
still runs. What was handed out is never changed: the lines taken so far are a
prefix of the final order, and the final order does not depend on how the
messages of different segments and tracks interleave.

A line is final when

- the asset before its own is over,
- every announced segment that could still say something earlier is over, and
- every track of its asset has been announced past it, or the asset is cut to
  its end.

This relies on ingest announcing the segments of one track in order. A segment
that comes late all the same loses nothing: its evidence is put where the
timeline has arrived.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.fuse.lines import Line, LineFold
from services.fuse.model import Asset, Modality, Origin, Piece, Segment, SegmentKind, cover
from services.fuse.order import lower_bound
from services.fuse.units import Group, group_segment
from services.runtime.errors import InvalidInput, OutOfOrder


@dataclass(slots=True)
class _AssetState:
    asset: Asset
    fold: LineFold
    pending: dict[str, Segment] = field(default_factory=dict)
    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    recalled: list[Piece] = field(default_factory=list)
    announced_to_ns: dict[SegmentKind, int] = field(default_factory=dict)
    waiting: list[tuple[object, int, Group]] = field(default_factory=list)
    complete: bool = False

    @property
    def over(self) -> bool:
        return self.complete and not self.pending

    def is_stable(self, group: Group) -> bool:
        """Whether nothing of this asset can come before the group any more."""
        modality = self.asset.modality
        if any(group.position >= lower_bound(modality, s) for s in self.pending.values()):
            return False
        if self.complete or not modality.timed:
            return True
        end_start = group.position[:2]
        for track in self._tracks():
            announced_ns = self.announced_to_ns.get(track)
            if announced_ns is None or end_start > (announced_ns, announced_ns):
                return False
        return True

    def _tracks(self) -> frozenset[SegmentKind]:
        if self.asset.tracks:
            return self.asset.tracks
        pictures = self.asset.modality is Modality.VIDEO
        return frozenset({SegmentKind.VIDEO_FRAME if pictures else SegmentKind.AUDIO_WINDOW})


class Timeline:
    """Takes what is announced and observed; hands out final lines."""

    def __init__(self) -> None:
        self._assets: dict[str, _AssetState] = {}
        self._asset_of_segment: dict[str, str] = {}
        self._evidence_ids: set[str] = set()
        self._orphans: dict[str, tuple[Asset, list[Piece]]] = {}
        self._current = 0
        self._serial = itertools.count()
        self._finished = False

    @property
    def piece_count(self) -> int:
        """Pieces of evidence taken, each counted once."""
        return len(self._evidence_ids)

    def add_asset(self, asset: Asset) -> None:
        """Announces the next asset. Raises InvalidInput ASSET_REPEATED."""
        if asset.asset_id in self._assets:
            raise InvalidInput(
                "ASSET_REPEATED",
                "The asset was announced before; send its asset_info once.",
                subject=asset.asset_id,
            )
        state = _AssetState(asset, LineFold(asset))
        if asset.asset_id in self._orphans:
            state.recalled = self._orphans.pop(asset.asset_id)[1]
        self._assets[asset.asset_id] = state

    def add_segment(self, segment: Segment) -> None:
        """Announces a segment. Raises InvalidInput UNKNOWN_ASSET or
        SEGMENT_REPEATED, OutOfOrder ASSET_COMPLETE."""
        state = self._state(segment.asset_id)
        if state.complete:
            raise OutOfOrder(
                "ASSET_COMPLETE",
                "The asset was declared complete; announce its segments before that.",
                subject=segment.segment_id,
            )
        if segment.segment_id in self._asset_of_segment:
            raise InvalidInput(
                "SEGMENT_REPEATED",
                "The segment was announced before; send segment_pending once.",
                subject=segment.segment_id,
            )
        self._asset_of_segment[segment.segment_id] = segment.asset_id
        state.pending[segment.segment_id] = segment
        end_ns = segment.locator.span.end_ns if segment.locator.span else 0
        before_ns = state.announced_to_ns.get(segment.kind, 0)
        state.announced_to_ns[segment.kind] = max(before_ns, end_ns)

    def add_piece(self, piece: Piece) -> None:
        """Takes an observation of a segment that is announced and not over; a
        repeated evidence id is ignored. Raises InvalidInput UNKNOWN_SEGMENT or
        ASSET_MISMATCH, OutOfOrder SEGMENT_OVER."""
        state, _ = self._pending(piece.segment_id)
        if state.asset.asset_id != piece.asset_id:
            raise InvalidInput(
                "ASSET_MISMATCH",
                "The observation names another asset than its segment belongs to.",
                subject=piece.evidence_id,
            )
        if self._first_time(piece):
            state.pieces.setdefault(piece.segment_id, []).append(piece)

    def check_segment(self, segment_id: str) -> None:
        """Raises InvalidInput UNKNOWN_SEGMENT unless the segment is announced."""
        if segment_id not in self._asset_of_segment:
            raise InvalidInput(
                "UNKNOWN_SEGMENT",
                "The segment was not announced; send segment_pending first.",
                subject=segment_id,
            )

    def end_segment(self, segment_id: str) -> None:
        """All of a segment is known. Raises as ``add_piece``."""
        state, segment = self._pending(segment_id)
        del state.pending[segment_id]
        self._wait(state, segment, state.pieces.pop(segment_id, []))

    def complete_asset(self, asset_id: str) -> None:
        """No more segments of the asset will be announced, nor recalled
        evidence of it added. Raises InvalidInput UNKNOWN_ASSET, OutOfOrder
        ASSET_COMPLETE."""
        state = self._state(asset_id)
        if state.complete:
            raise OutOfOrder(
                "ASSET_COMPLETE",
                "The asset was declared complete before; say so once.",
                subject=asset_id,
            )
        self._complete(state)

    def add_recalled(self, asset: Asset, piece: Piece) -> None:
        """Takes evidence from storage. It joins its asset when that is announced
        and not complete; else it follows after all announced assets. A repeated
        evidence id is ignored."""
        if not self._first_time(piece):
            return
        state = self._assets.get(asset.asset_id)
        if state is not None and not state.complete:
            state.recalled.append(piece)
            return
        known = state.asset if state is not None else asset
        self._orphans.setdefault(asset.asset_id, (known, []))[1].append(piece)

    def take(self) -> Iterator[Line]:
        """Yields the lines that became final since the last call, in order."""
        states = list(self._assets.values())
        while self._current < len(states):
            state = states[self._current]
            while state.waiting and state.is_stable(state.waiting[0][2]):
                yield from state.fold.push(heapq.heappop(state.waiting)[2])
            if not state.over:
                return
            yield from state.fold.finish()
            self._current += 1
        if self._finished:
            yield from self._take_orphans()

    def finish(self) -> Iterator[Line]:
        """Ends the turn: what is pending is taken as it is. Yields the rest."""
        for state in self._assets.values():
            if not state.complete:
                self._complete(state)
            for segment_id in list(state.pending):
                self.end_segment(segment_id)
        self._finished = True
        yield from self.take()

    def _complete(self, state: _AssetState) -> None:
        state.complete = True
        for segment, pieces in _recalled_segments(state.asset, state.recalled):
            self._wait(state, segment, pieces)
        state.recalled = []

    def _wait(self, state: _AssetState, segment: Segment, pieces: list[Piece]) -> None:
        for group in group_segment(state.asset.modality, segment, pieces):
            heapq.heappush(state.waiting, (group.key, next(self._serial), group))

    def _take_orphans(self) -> Iterator[Line]:
        for asset_id in sorted(self._orphans):
            asset, pieces = self._orphans.pop(asset_id)
            fold = LineFold(asset)
            groups = [
                group
                for segment, found in _recalled_segments(asset, pieces)
                for group in group_segment(asset.modality, segment, found)
            ]
            for group in sorted(groups, key=lambda group: group.key):
                yield from fold.push(group)
            yield from fold.finish()

    def _first_time(self, piece: Piece) -> bool:
        if piece.evidence_id in self._evidence_ids:
            return False
        self._evidence_ids.add(piece.evidence_id)
        return True

    def _state(self, asset_id: str) -> _AssetState:
        state = self._assets.get(asset_id)
        if state is None:
            raise InvalidInput(
                "UNKNOWN_ASSET",
                "The asset was not announced; send its asset_info first.",
                subject=asset_id,
            )
        return state

    def _pending(self, segment_id: str) -> tuple[_AssetState, Segment]:
        self.check_segment(segment_id)
        state = self._assets[self._asset_of_segment[segment_id]]
        segment = state.pending.get(segment_id)
        if segment is None:
            raise OutOfOrder(
                "SEGMENT_OVER",
                "The segment was declared over; send all that is known of it before that.",
                subject=segment_id,
            )
        return state, segment


def _recalled_segments(asset: Asset, pieces: list[Piece]) -> Iterator[tuple[Segment, list[Piece]]]:
    by_segment: dict[tuple[str, SegmentKind], list[Piece]] = {}
    for piece in pieces:
        key = (piece.segment_id, _kind_of(asset.modality, piece))
        by_segment.setdefault(key, []).append(piece)
    for (segment_id, kind), found in by_segment.items():
        locator = cover(piece.locator for piece in found)
        yield Segment(segment_id, asset.asset_id, kind, locator), found


def _kind_of(modality: Modality, piece: Piece) -> SegmentKind:
    """Stored evidence does not say which cut it comes from; its asset, its
    origin and its segment's id ("<asset id>/<kind>/<index>") do."""
    if modality is Modality.TEXT:
        return SegmentKind.TEXT_PASSAGE
    if modality is Modality.IMAGE:
        tile = "tile" in piece.segment_id.rpartition("/")[0].rpartition("/")[2].lower()
        return SegmentKind.IMAGE_TILE if tile else SegmentKind.IMAGE_VIEW
    if modality is Modality.AUDIO or piece.origin is Origin.SPEECH:
        return SegmentKind.AUDIO_WINDOW
    return SegmentKind.VIDEO_FRAME
