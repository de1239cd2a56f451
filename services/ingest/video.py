"""The picture track: as few frames decoded as the sampling allows.

Packets are kept, not decoded, until a bin of the time line (``sampling.py``)
needs a frame. A key frame inside the bin is enough and is decoded alone;
otherwise the packets since the last key frame are decoded up to the middle of
the bin. What no bin asks for is never decoded.
"""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from services.ingest.failures import DamageCount
from services.ingest.model import Region, Segment, SegmentKind, Span
from services.ingest.pictures import encode_picture, fit
from services.ingest.sampling import Bin

_HELD_BYTES_MAX = 8 << 20
"""Packets above this are decoded at once instead of being kept."""
_QUARTER_TURNS = {
    1: Image.Transpose.ROTATE_270,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_90,
}


class PictureTrack:
    """Takes the packets of one picture track and gives sampled frames.

    ``origin_s`` is the time stamp that counts as the start of the asset.
    """

    def __init__(
        self, stream: VideoStream, origin_s: float, bins: Iterator[Bin], damage: DamageCount
    ) -> None:
        self._context = stream.codec_context
        # Frames that a drained decoder gives carry no time base of their own.
        self._time_base = stream.time_base or Fraction(1, av.time_base)
        self._origin_s = origin_s
        self._bins = bins
        self._bin: Bin | None = next(bins, None)
        self._damage = damage
        self._held: deque[Packet[VideoStream]] = deque()
        self._held_bytes = 0
        self._newest_s = 0.0
        self._is_fed = False
        self._latest: VideoFrame | None = None
        self._count = 0

    @property
    def end_s(self) -> float:
        """How far the track has been read, in seconds of the asset."""
        return self._newest_s

    @property
    def is_empty(self) -> bool:
        """Whether nothing could be decoded."""
        return self._count == 0

    def push(self, packet: "Packet[VideoStream]") -> Iterator[Segment]:
        """The frames that a packet completes."""
        time_s = self._time_s(packet)
        if self._bin is None:
            self._newest_s = max(self._newest_s, time_s)
            return
        if packet.is_keyframe:
            if self._is_due or time_s >= self._bin.end_s:
                yield from self._decode_held()
                yield from self._drain()
            self._start_over()
        self._newest_s = max(self._newest_s, time_s)
        self._held.append(packet)
        self._held_bytes += packet.size
        if packet.is_keyframe:
            self._skip_to(time_s)
            if self._bin is not None and self._bin.start_s <= time_s:
                yield from self._decode_alone(packet)
        elif self._is_due or self._held_bytes > _HELD_BYTES_MAX:
            yield from self._decode_held(everything=self._held_bytes > _HELD_BYTES_MAX)

    def flush(self) -> Iterator[Segment]:
        """The last frames."""
        bin_is_open = self._bin is not None and self._newest_s >= self._bin.start_s
        if bin_is_open or self.is_empty:
            yield from self._decode_held(everything=True)
            yield from self._drain()
        latest = self._latest
        if latest is None:
            return
        if self.is_empty or (self._bin and self._bin.start_s <= self._frame_s(latest)):
            yield self._segment(latest)

    @property
    def _is_due(self) -> bool:
        """A bin has passed without a frame."""
        return self._bin is not None and self._newest_s >= self._bin.end_s

    def _decode_alone(self, packet: "Packet[VideoStream]") -> Iterator[Segment]:
        """Decode a key frame by itself; the packet stays held, the decoder forgets it."""
        frames = self._decode(packet) + self._decode(None)
        self._context.flush_buffers()
        for frame in frames[:1]:
            yield self._segment(frame)
            self._next_bin()

    def _decode_held(self, everything: bool = False) -> Iterator[Segment]:
        while self._held and (everything or self._is_due):
            packet = self._held.popleft()
            self._held_bytes -= packet.size
            self._is_fed = True
            # Frames that nothing refers to are only worth decoding near the moment wanted.
            wanted_s = self._bin.middle_s if self._bin else 0.0
            is_far = wanted_s - self._time_s(packet) > 0.5
            self._context.skip_frame = "NONREF" if is_far else "DEFAULT"
            for frame in self._decode(packet):
                yield from self._offer(frame)

    def _drain(self) -> Iterator[Segment]:
        if self._is_fed:
            for frame in self._decode(None):
                yield from self._offer(frame)

    def _start_over(self) -> None:
        """Forget the packets before a key frame."""
        if self._is_fed:
            self._context.flush_buffers()
            self._context.skip_frame = "DEFAULT"
            self._is_fed = False
        self._held.clear()
        self._held_bytes = 0

    def _offer(self, frame: VideoFrame) -> Iterator[Segment]:
        """Take a decoded frame if its bin wants it."""
        time_s = self._frame_s(frame)
        latest, self._latest = self._latest, frame
        if self._bin is None or time_s < self._bin.start_s:
            return
        if time_s >= self._bin.end_s and latest is not None:
            # The bin ends without a frame in its second half: the one before has to do.
            if self._bin.start_s <= self._frame_s(latest):
                yield self._segment(latest)
            self._skip_to(time_s)
        if self._bin is not None and time_s >= self._bin.middle_s:
            yield self._segment(frame)
            self._next_bin()

    def _skip_to(self, time_s: float) -> None:
        while self._bin is not None and self._bin.end_s <= time_s:
            self._next_bin()

    def _next_bin(self) -> None:
        self._bin = next(self._bins, None)
        if self._bin is None:
            self._start_over()

    def _decode(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        try:
            return self._context.decode(packet)
        except av.FFmpegError:
            if packet is not None:
                self._damage.add()
            return []

    def _segment(self, frame: VideoFrame) -> Segment:
        time_s = self._frame_s(frame)
        self._latest = None
        picture = upright_picture(frame)
        width_px, height_px = frame.width, frame.height
        if round(frame.rotation / 90) % 2:
            width_px, height_px = height_px, width_px
        segment = Segment(
            kind=SegmentKind.VIDEO_FRAME,
            index=self._count,
            payload=encode_picture(picture),
            span=Span(time_s, time_s),
            region=Region(0, 0, width_px, height_px),
        )
        self._count += 1
        return segment

    def _frame_s(self, frame: VideoFrame) -> float:
        return self._seconds(frame.pts)

    def _time_s(self, packet: "Packet[VideoStream]") -> float:
        return self._seconds(packet.pts if packet.pts is not None else packet.dts)

    def _seconds(self, stamp: int | None) -> float:
        if stamp is None:
            return self._newest_s
        return max(0.0, float(stamp * self._time_base) - self._origin_s)


def upright_picture(frame: VideoFrame) -> Image.Image:
    """A frame as an RGB picture of at most 1280 px, turned as its display matrix says."""
    width_px, height_px = fit(frame.width, frame.height)
    small = frame.reformat(width=width_px, height=height_px, format="rgb24", interpolation="AREA")
    picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]
    # ``rotation`` counts degrees counter-clockwise.
    turn = _QUARTER_TURNS.get(round(-frame.rotation / 90) % 4)
    return picture if turn is None else picture.transpose(turn)
