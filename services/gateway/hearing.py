"""Windows of sound are recognised side by side; what was said is told in order."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sensorium.encode.v1 import encode_pb2
from sensorium.media.v1 import media_pb2


@dataclass(slots=True)
class _Track:
    """The sound of one asset, by the index of its windows."""

    position: int = 0
    """The first window that is not over."""
    over: set[int] = field(default_factory=set)
    heard: dict[int, list[media_pb2.Observation]] = field(default_factory=dict)
    guess: encode_pb2.PartialTranscript | None = None
    """What was last told of the words of that window, unless it was replaced or taken back."""

    def tell(self) -> Iterator[media_pb2.Observation]:
        """What was heard in that window, in the place of any guess."""
        if words := self.heard.pop(self.position, []):
            self.guess = None
        yield from words


class TranscriptOrder:
    """Holds what was heard in a window until those before it in its asset are over.

    The words of the first window that is not over pass at once.
    """

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}

    def take(self, event: encode_pb2.StreamingEncodeResponse) -> Iterator[media_pb2.Observation]:
        """Take in an event of encode; yield the transcripts whose turn it is."""
        kind = event.WhichOneof("event")
        if kind == "observation" and event.observation.WhichOneof("observed") == "transcript":
            track, index = self._place(event.observation.segment_id)
            track.heard.setdefault(index, []).append(event.observation)
        elif kind == "segment_complete":
            track, index = self._place(event.segment_complete.segment_id)
            track.over.add(index)
        else:
            return
        yield from track.tell()
        while track.position in track.over:
            track.over.remove(track.position)
            track.position += 1
            yield from track.tell()

    def take_guess(
        self, event: encode_pb2.StreamingEncodeResponse
    ) -> encode_pb2.PartialTranscript | None:
        """The guess to be told of an event that ``take`` has had; one without text takes back
        words that came to nothing. Of windows after the first that is not over, nothing is."""
        kind = event.WhichOneof("event")
        if kind == "partial_transcript":
            told = event.partial_transcript
            track, index = self._place(told.segment_id)
            if index != track.position or not (told.transcript.text or track.guess):
                return None
        elif kind == "segment_complete":
            track, _ = self._place(event.segment_complete.segment_id)
            if track.guess is None or track.guess.segment_id != event.segment_complete.segment_id:
                return None
            told = encode_pb2.PartialTranscript(
                segment_id=track.guess.segment_id,
                asset_id=track.guess.asset_id,
                span=track.guess.span,
            )
        else:
            return None
        track.guess = told if told.transcript.text else None
        return told

    def _place(self, segment_id: str) -> tuple[_Track, int]:
        # Segments of other kinds have tracks of their own, where nothing is heard.
        track, index = segment_id.rsplit("/", 1)
        return self._tracks.setdefault(track, _Track()), int(index)


class JudgedWords:
    """Holds, where a policy blocks words, those of a window until it is over: it is judged
    before that, and what is blocked ends the stream or its asset."""

    def __init__(self, *, hold: bool) -> None:
        self._hold = hold
        self._held: dict[str, list[encode_pb2.StreamingEncodeResponse]] = {}

    def take(
        self, event: encode_pb2.StreamingEncodeResponse
    ) -> list[encode_pb2.StreamingEncodeResponse]:
        """Take in an event of encode; the events that may be told now, in order."""
        kind = event.WhichOneof("event")
        if not self._hold or kind not in ("observation", "segment_complete"):
            return [event]
        if kind == "segment_complete":
            return [*self._held.pop(event.segment_complete.segment_id, []), event]
        self._held.setdefault(event.observation.segment_id, []).append(event)
        return []
