"""What has been perceived so far: the record that evidence, index and citations are made from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sensorium.encode.v1 import encode_pb2
from sensorium.fuse.v1 import fuse_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2, moderation_pb2, upload_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.page import is_writing, page_lines
from services.runtime.errors import SensoriumError

PICTURES = (
    media_pb2.SEGMENT_KIND_IMAGE_VIEW,
    media_pb2.SEGMENT_KIND_IMAGE_TILE,
    media_pb2.SEGMENT_KIND_VIDEO_FRAME,
)

ORIGINS = {
    "transcript": evidence_pb2.EVIDENCE_ORIGIN_SPEECH,
    "ocr_line": evidence_pb2.EVIDENCE_ORIGIN_OCR,
    "label": evidence_pb2.EVIDENCE_ORIGIN_LABEL,
    "caption": evidence_pb2.EVIDENCE_ORIGIN_CAPTION,
    "passage": evidence_pb2.EVIDENCE_ORIGIN_PASSAGE,
}


@dataclass(slots=True)
class AssetEntry:
    """One asset: what it is, its segments, what was observed in them."""

    info: media_pb2.AssetInfo
    asset: media_pb2.Asset | None = None
    segments: dict[str, media_pb2.MediaSegment] = field(default_factory=dict)
    encoded: set[str] = field(default_factory=set)
    embeddings: dict[str, media_pb2.Embedding] = field(default_factory=dict)
    observations: dict[str, media_pb2.Observation] = field(default_factory=dict)
    received_bytes: int = 0
    complete: bool = False
    """No more segments will come."""
    unread: dict[str, media_pb2.MediaSegment] = field(default_factory=dict)
    """Pictures, with their pixels, in which no one has looked for writing yet."""
    deferred: dict[str, media_pb2.MediaSegment] = field(default_factory=dict)
    """Tiles, with their pixels, that were left for the index: the view answers."""
    blocked: SensoriumError | None = None
    """Why the moderation policy keeps it out of answers and of the index."""
    scores: dict[str, media_pb2.ModerationFinding] = field(default_factory=dict)
    """Where moderation scores highest, by category."""
    unjudged: bool = False
    """Whether moderation could not judge some part of it."""

    @property
    def indexable(self) -> bool:
        """Whether it is committed and not blocked."""
        return self.asset is not None and self.blocked is None

    @property
    def fully_encoded(self) -> bool:
        """Whether every segment is encoded or at hand to be."""
        return self.complete and len(self.encoded) + len(self.deferred) == len(self.segments)

    @property
    def fully_perceived(self) -> bool:
        """Whether nothing is left to look at but to write down what was seen."""
        return self.fully_encoded and not self.deferred and not self.unread

    def note_encode(self, event: encode_pb2.StreamingEncodeResponse) -> None:
        """Record an event of encode about this asset."""
        kind = event.WhichOneof("event")
        if kind == "observation":
            self.observations[event.observation.observation_id] = event.observation
        elif kind == "embedding":
            self.embeddings[event.embedding.segment_id] = event.embedding.embedding
        elif kind == "segment_complete":
            self.encoded.add(event.segment_complete.segment_id)
            self.deferred.pop(event.segment_complete.segment_id, None)

    def note_moderation(self, moderation: encode_pb2.SegmentModeration) -> None:
        """Record how a part was judged, in the categories in which no other part has more."""
        locator = self.segments[moderation.segment_id].locator
        for score in moderation.result.scores:
            known = self.scores.get(score.category)
            if known is None or known.score.score < score.score:
                self.scores[score.category] = media_pb2.ModerationFinding(
                    score=score, locator=locator
                )

    def scores_in(self, categories: Iterable[str]) -> list[media_pb2.ModerationFinding]:
        """The score in each of the categories; 0 where no part fits it."""
        return [
            self.scores.get(category)
            or media_pb2.ModerationFinding(score=moderation_pb2.ModerationScore(category=category))
            for category in categories
        ]

    def note_reading(self, event: encode_pb2.StreamingEncodeResponse) -> None:
        """Record an event of reading."""
        kind = event.WhichOneof("event")
        if kind == "segment_complete":
            self.unread.pop(event.segment_complete.segment_id, None)
        elif kind == "observation":
            self.observations[event.observation.observation_id] = event.observation

    def forget_pictures(self) -> None:
        """Let go of all pixels: what they show must be perceived from the stored bytes again."""
        self.unread.clear()
        self.deferred.clear()
        self.complete = False

    def writing(self) -> list[media_pb2.Observation]:
        """The lines read so far. What the tiles of a picture and its view repeat or cut is one
        line each; so this is final when all of them are read."""
        lines = [each for each in self._observed() if is_writing(each)]
        tiled = any(
            each.kind == media_pb2.SEGMENT_KIND_IMAGE_TILE for each in self.segments.values()
        )
        return page_lines(lines, self.segments) if tiled else lines

    def perceived(self) -> list[media_pb2.Observation]:
        """All that was observed, each line of writing once."""
        others = [each for each in self._observed() if not is_writing(each)]
        return [*others, *self.writing()]

    def _observed(self) -> list[media_pb2.Observation]:
        # At once: this is asked in threads, while an index job may observe more.
        return list(self.observations.values())

    def evidence(self, observation: media_pb2.Observation) -> evidence_pb2.Evidence:
        """An observation of this asset as evidence."""
        kind = observation.WhichOneof("observed") or "passage"
        return evidence_pb2.Evidence(
            evidence_id=observation.observation_id,
            segment_id=observation.segment_id,
            asset_id=observation.asset_id,
            asset_name=self.info.name,
            modality=self.info.modality,
            origin=ORIGINS[kind],
            text=getattr(observation, kind).text,
            locator=observation.locator,
            confidence=observation.confidence,
        )

    def recall(self, observation: media_pb2.Observation) -> fuse_pb2.RecalledEvidence:
        """An observation of this asset as evidence that fuse did not see live."""
        return fuse_pb2.RecalledEvidence(
            evidence=self.evidence(observation), embedding=observation.embedding
        )

    def recalled(self) -> list[fuse_pb2.RecalledEvidence]:
        """All that is known of this asset, as evidence that fuse did not see live."""
        observed = [self.recall(observation) for observation in self.perceived()]
        seen = [
            fuse_pb2.RecalledEvidence(evidence=self._seen(segment), embedding=embedding)
            for segment, embedding in self._pictures()
        ]
        return [*observed, *seen]

    def documents(self) -> Iterator[search_pb2.Document]:
        """What the index shall hold of this committed asset."""
        assert self.asset is not None
        for observation in self.perceived():
            segment = self.segments[observation.segment_id]
            yield self._document(
                self.evidence(observation), observation.embedding, segment.kind, self.asset
            )
        for segment, embedding in self._pictures():
            document = self._document(self._seen(segment), embedding, segment.kind, self.asset)
            if segment.HasField("perceptual_hash"):
                document.perceptual_hash = segment.perceptual_hash
            yield document

    def _pictures(self) -> Iterator[tuple[media_pb2.MediaSegment, media_pb2.Embedding]]:
        """Pictures with their vectors. Text has its own vector already, as a passage."""
        for segment_id, embedding in list(self.embeddings.items()):
            segment = self.segments[segment_id]
            if segment.kind in PICTURES:
                yield segment, embedding

    def _seen(self, segment: media_pb2.MediaSegment) -> evidence_pb2.Evidence:
        """A picture as evidence without words."""
        return evidence_pb2.Evidence(
            evidence_id=segment.segment_id,
            segment_id=segment.segment_id,
            asset_id=segment.asset_id,
            asset_name=self.info.name,
            modality=self.info.modality,
            locator=segment.locator,
            confidence=1.0,
        )

    @staticmethod
    def _document(
        evidence: evidence_pb2.Evidence,
        embedding: media_pb2.Embedding,
        kind: media_pb2.SegmentKind.ValueType,
        asset: media_pb2.Asset,
    ) -> search_pb2.Document:
        return search_pb2.Document(
            evidence=evidence,
            embedding=embedding,
            segment_kind=kind,
            asset_sha256=asset.sha256,
            user_id=asset.user_id,
            tags=asset.tags,
            metadata=asset.metadata,
            create_time=asset.create_time,
        )


def alone(segment: media_pb2.MediaSegment) -> media_pb2.MediaSegment:
    """A segment without its tiles: then small print in it is read too."""
    if not segment.tiled:
        return segment
    view = media_pb2.MediaSegment()
    view.CopyFrom(segment)
    view.tiled = False
    return view


class Ledger:
    """All assets of a turn or an upload, in the order in which it became known what they are.

    ``reading`` tells that writing is looked for as the pictures come; otherwise
    their pixels are kept (``unread``) to do it later. A picture that was announced with a
    detail is looked at as closely as that says.
    """

    def __init__(self, *, reading: bool = True) -> None:
        self.assets: dict[str, AssetEntry] = {}
        self._reading = reading
        self._details: dict[str, upload_pb2.PictureDetail.ValueType] = {}

    def announce(self, start: upload_pb2.AssetStart) -> None:
        """Record what the client wants of an asset, before anything is known of it."""
        self._details[start.asset_id] = start.detail

    def committed(self) -> list[AssetEntry]:
        """The assets that are durable, in the order in which they were announced."""
        place = {asset_id: index for index, asset_id in enumerate(self._details)}
        entries = [entry for entry in self.assets.values() if entry.asset]
        return sorted(entries, key=lambda entry: place.get(entry.info.asset_id, len(place)))

    def note_ingest(self, event: ingest_pb2.StreamingIngestResponse) -> None:
        """Record an event of ingest."""
        kind = event.WhichOneof("event")
        if kind == "asset_info":
            self.assets[event.asset_info.asset_id] = AssetEntry(event.asset_info)
        elif kind == "segment":
            self._note_segment(event.segment)
        elif kind == "chunk_ack" and event.chunk_ack.asset_id in self.assets:
            self.assets[event.chunk_ack.asset_id].received_bytes = event.chunk_ack.received_offset
        elif kind == "segments_complete":
            self.assets[event.segments_complete.asset_id].complete = True
        elif kind == "asset":
            self.assets[event.asset.asset_id].asset = event.asset

    def _note_segment(self, segment: media_pb2.MediaSegment) -> None:
        entry = self.assets[segment.asset_id]
        place = media_pb2.MediaSegment(
            segment_id=segment.segment_id,
            asset_id=segment.asset_id,
            kind=segment.kind,
            index=segment.index,
            locator=segment.locator,
        )
        if segment.HasField("perceptual_hash"):
            place.perceptual_hash = segment.perceptual_hash
        entry.segments[segment.segment_id] = place
        if self.defers(segment):
            entry.deferred[segment.segment_id] = segment
        elif segment.kind in PICTURES and not self._reading:
            entry.unread[segment.segment_id] = segment

    def defers(self, segment: media_pb2.MediaSegment) -> bool:
        """Whether an answer does without a segment: a tile, unless it is looked at closely."""
        tile = segment.kind == media_pb2.SEGMENT_KIND_IMAGE_TILE
        return tile and not self.looks_closely(segment.asset_id, asked=self._reading)

    def due(self, segment: media_pb2.MediaSegment) -> media_pb2.MediaSegment | None:
        """A segment as encode is to have it before the answer; None where it is deferred."""
        if self.defers(segment):
            return None
        closely = self.looks_closely(segment.asset_id, asked=self._reading)
        return segment if closely else alone(segment)

    def looks_closely(self, asset_id: str, *, asked: bool) -> bool:
        """Whether an answer waits for the tiles of a picture and the writing in them; ``asked``
        tells whether the question asks for writing."""
        detail = self._details.get(asset_id, upload_pb2.PICTURE_DETAIL_UNSPECIFIED)
        if detail == upload_pb2.PICTURE_DETAIL_UNSPECIFIED:
            return asked
        return detail == upload_pb2.PICTURE_DETAIL_HIGH

    def answers_by_view(self, info: media_pb2.AssetInfo) -> bool:
        """Whether the view of an asset is all that an answer waits for."""
        picture = info.modality == media_pb2.MODALITY_IMAGE
        return picture and not self.looks_closely(info.asset_id, asked=self._reading)

    def answerable(self, asset_id: str) -> bool:
        """Whether all that an answer waits for is known of an asset."""
        entry = self.assets.get(asset_id)
        if entry is None:
            return False
        if self.answers_by_view(entry.info):
            return bool(entry.encoded)
        return entry.fully_encoded

    def note_encode(self, event: encode_pb2.StreamingEncodeResponse) -> AssetEntry | None:
        """Record an event of encode; the asset it is about, if it is about one."""
        kind = event.WhichOneof("event")
        if kind not in ("observation", "embedding", "segment_complete"):
            return None
        entry = self.of_segment(getattr(event, kind).segment_id)
        entry.note_encode(event)
        return entry

    def of_segment(self, segment_id: str) -> AssetEntry:
        """The asset that a segment was cut from."""
        return self.assets[segment_id.split("/", 1)[0]]

    @property
    def segment_count(self) -> int:
        """Segments of all assets."""
        return sum(len(entry.segments) for entry in self.assets.values())
