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
        yield from track.heard.pop(track.position, [])
        while track.position in track.over:
            track.over.remove(track.position)
            track.position += 1
            yield from track.heard.pop(track.position, [])

    def _place(self, segment_id: str) -> tuple[_Track, int]:
        # Segments of other kinds have tracks of their own, where nothing is heard.
        track, index = segment_id.rsplit("/", 1)
        return self._tracks.setdefault(track, _Track()), int(index)
