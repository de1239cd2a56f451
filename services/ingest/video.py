"""Uniform sampling: as few frames decoded as the bins allow.

Packets are kept, not decoded, until a bin of the time line (``sampling.py``)
needs a frame. A key frame inside the bin is enough and is decoded alone;
otherwise the packets since the last key frame are decoded up to the middle of
the bin. What no bin asks for is never decoded.
"""

from collections import deque
from collections.abc import Iterator

from av.video.frame import VideoFrame

from services.ingest.frames import FrameSource, PictureTrack, VideoPacket
from services.ingest.model import Segment
from services.ingest.sampling import Budget

_HELD_BYTES_MAX = 8 << 20
"""Packets above this are decoded at once instead of being kept."""
_NEAR_S = 0.5


class UniformTrack(PictureTrack):
    """One frame from each bin of the budget."""

    def __init__(self, source: FrameSource, budget: Budget) -> None:
        super().__init__(source, budget)
        self._held: deque[VideoPacket] = deque()
        self._held_bytes = 0
        self._is_fed = False
        self._latest: VideoFrame | None = None

    def push(self, packet: VideoPacket) -> Iterator[Segment]:
        """The frames that a packet completes."""
        time_s = self._source.note(packet)
        if self._budget.bin is None:
            return
        if packet.is_keyframe:
            if self._is_due:
                yield from self._decode_held()
                yield from self._drain()
            self._start_over()
        self._held.append(packet)
        self._held_bytes += packet.size
        if packet.is_keyframe:
            if self._budget.admits(time_s):
                yield from self._decode_alone(packet)
        elif self._is_due or self._held_bytes > _HELD_BYTES_MAX:
            yield from self._decode_held(everything=self._held_bytes > _HELD_BYTES_MAX)

    def flush(self) -> Iterator[Segment]:
        """The last frames."""
        waiting = self._budget.bin
        if self.is_empty or (waiting and self._source.newest_s >= waiting.start_s):
            yield from self._decode_held(everything=True)
            yield from self._drain()
        latest, waiting = self._latest, self._budget.bin
        if latest is None:
            return
        if self.is_empty or (waiting and waiting.start_s <= self._source.frame_s(latest)):
            yield self._segment(latest)

    @property
    def _is_due(self) -> bool:
        """A bin has passed without a frame."""
        waiting = self._budget.bin
        return waiting is not None and self._source.newest_s >= waiting.end_s

    def _decode_alone(self, packet: VideoPacket) -> Iterator[Segment]:
        """Decode a key frame by itself; the packet stays held."""
        frame = self._source.decode_alone(packet)
        if frame is not None:
            yield self._segment(frame)
            self._spend()

    def _decode_held(self, everything: bool = False) -> Iterator[Segment]:
        while self._held and (everything or self._is_due):
            packet = self._held.popleft()
            self._held_bytes -= packet.size
            self._is_fed = True
            # Frames that nothing refers to are only worth decoding near the moment wanted.
            wanted_s = self._budget.bin.middle_s if self._budget.bin else 0.0
            is_far = wanted_s - self._source.packet_s(packet) > _NEAR_S
            self._source.context.skip_frame = "NONREF" if is_far else "DEFAULT"
            for frame in self._source.decode(packet):
                yield from self._offer(frame)

    def _drain(self) -> Iterator[Segment]:
        if self._is_fed:
            for frame in self._source.decode(None):
                yield from self._offer(frame)

    def _start_over(self) -> None:
        """Forget the packets before a key frame."""
        if self._is_fed:
            self._source.context.flush_buffers()
            self._source.context.skip_frame = "DEFAULT"
            self._is_fed = False
        self._held.clear()
        self._held_bytes = 0

    def _offer(self, frame: VideoFrame) -> Iterator[Segment]:
        """Take a decoded frame if its bin wants it."""
        time_s = self._source.frame_s(frame)
        latest, self._latest = self._latest, frame
        waiting = self._budget.bin
        if waiting is None or time_s < waiting.start_s:
            return
        if time_s >= waiting.end_s and latest is not None:
            # The bin ends without a frame in its second half: the one before has to do.
            if waiting.start_s <= self._source.frame_s(latest):
                yield self._segment(latest)
            self._budget.skip_to(time_s)
        waiting = self._budget.bin
        if waiting is not None and time_s >= waiting.middle_s:
            yield self._segment(frame)
            self._spend()

    def _spend(self) -> None:
        self._budget.spend()
        if self._budget.bin is None:
            self._start_over()

    def _segment(self, frame: VideoFrame) -> Segment:
        self._latest = None
        return self._source.segment(frame)
