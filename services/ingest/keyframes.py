"""Sampling of key frames: those that the video was stored with, and nothing else is decoded."""

from collections.abc import Iterator

from av.video.frame import VideoFrame

from services.ingest.frames import FrameSource, PictureTrack, VideoPacket
from services.ingest.model import Segment
from services.ingest.sampling import Budget


class KeyframeTrack(PictureTrack):
    """The key frames that the budget admits. Each is decoded by itself."""

    def __init__(self, source: FrameSource, budget: Budget) -> None:
        super().__init__(source, budget)
        self._is_plain = False
        """Whether a key frame gave nothing, so that what follows it is decoded too."""

    def push(self, packet: VideoPacket) -> Iterator[Segment]:
        """The frame of a packet, if it is a key frame that the budget admits.

        A film that was cut without being encoded anew may begin behind its only key frame:
        then the first frame that can be shown stands in.
        """
        time_s = self._source.note(packet)
        if packet.is_keyframe and (self._budget.admits(time_s) or self.is_empty):
            frame = self._source.decode_alone(packet)
            if frame is not None:
                yield self._take(frame)
                return
            self._is_plain = True
        if self._is_plain and self.is_empty:
            for frame in self._source.decode(packet)[:1]:
                yield self._take(frame)
                self._source.context.flush_buffers()

    def flush(self) -> Iterator[Segment]:
        """A key frame is taken when it comes; what is left is for a film that gave none."""
        if self._is_plain and self.is_empty:
            for frame in self._source.decode(None)[:1]:
                yield self._take(frame)

    def _take(self, frame: VideoFrame) -> Segment:
        self._budget.spend()
        return self._source.segment(frame)
