"""Sampling of key frames: those that the video was stored with, and nothing else is decoded."""

from collections.abc import Iterator

from services.ingest.frames import FrameSource, VideoPacket
from services.ingest.model import Segment
from services.ingest.sampling import Budget


class KeyframeTrack:
    """The key frames that the budget admits. Each is decoded by itself."""

    def __init__(self, source: FrameSource, budget: Budget) -> None:
        self._source = source
        self._budget = budget

    @property
    def end_s(self) -> float:
        """How far the track has been read, in seconds of the asset."""
        return self._source.newest_s

    @property
    def is_empty(self) -> bool:
        """Whether nothing could be decoded."""
        return self._source.segment_count == 0

    def push(self, packet: VideoPacket) -> Iterator[Segment]:
        """The frame of a packet, if it is a key frame that the budget admits."""
        time_s = self._source.note(packet)
        if not packet.is_keyframe or not self._budget.admits(time_s):
            return
        frame = self._source.decode_alone(packet)
        if frame is not None:
            yield self._source.segment(frame)
            self._budget.spend()

    def flush(self) -> Iterator[Segment]:
        """Nothing: a key frame is taken when it comes."""
        return iter(())
