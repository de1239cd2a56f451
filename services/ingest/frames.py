"""One picture track of a container: packets to frames, time stamps to seconds, frames to segments.

What the ways of sampling share; each of them decides which packets to decode
and which frames to take.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import TypeAlias

import av
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from services.ingest.failures import DamageCount
from services.ingest.looks import Looks
from services.ingest.model import Region, Segment, SegmentKind, Span
from services.ingest.phash import perceptual_hash
from services.ingest.pictures import encode_picture, fit
from services.ingest.sampling import Budget

_QUARTER_TURNS = {
    1: Image.Transpose.ROTATE_270,
    2: Image.Transpose.ROTATE_180,
    3: Image.Transpose.ROTATE_90,
}

VideoPacket: TypeAlias = "Packet[VideoStream]"


class FrameSource:
    """Decodes one picture track. ``origin_s`` is the time stamp that counts as the
    start of the asset."""

    def __init__(self, stream: VideoStream, origin_s: float, damage: DamageCount) -> None:
        self.context = stream.codec_context
        self.rate_hz = float(stream.average_rate or stream.guessed_rate or 25)
        """Frames a second, on average."""
        # Frames that a drained decoder gives carry no time base of their own.
        self._time_base = stream.time_base or Fraction(1, av.time_base)
        self._origin_s = origin_s
        self._damage = damage
        self.newest_s = 0.0
        """The latest time stamp that was seen."""
        self.segment_count = 0
        self._looks = Looks()

    def note(self, packet: VideoPacket) -> float:
        """The time of a packet, which counts as read."""
        time_s = self.packet_s(packet)
        self.newest_s = max(self.newest_s, time_s)
        return time_s

    def decode(self, packet: "VideoPacket | None") -> list[VideoFrame]:
        """The frames that a packet gives; with None those still in the decoder. Damage is
        counted, not raised."""
        try:
            return self.context.decode(packet)
        except av.FFmpegError:
            if packet is not None:
                self._damage.add()
            return []

    def decode_alone(self, packet: VideoPacket) -> VideoFrame | None:
        """The frame of a key packet, decoded by itself; the decoder forgets it."""
        frames = self.decode(packet) + self.decode(None)
        self.context.flush_buffers()
        return frames[0] if frames else None

    def packet_s(self, packet: VideoPacket) -> float:
        """When a packet is shown, in seconds of the asset."""
        return self._seconds(packet.pts if packet.pts is not None else packet.dts)

    def frame_s(self, frame: VideoFrame) -> float:
        """When a frame is shown, in seconds of the asset."""
        return self._seconds(frame.pts)

    def segment(self, frame: VideoFrame) -> Segment:
        """The next segment: the frame upright, at most 1280 px large, at its true time."""
        time_s = self.frame_s(frame)
        picture = upright_picture(frame)
        width_px, height_px = frame.width, frame.height
        if round(frame.rotation / 90) % 2:
            width_px, height_px = height_px, width_px
        segment = Segment(
            kind=SegmentKind.VIDEO_FRAME,
            index=self.segment_count,
            payload=encode_picture(picture),
            span=Span(time_s, time_s),
            region=Region(0, 0, width_px, height_px),
            same_as=self._looks.same_as(picture, self.segment_count),
            perceptual_hash=perceptual_hash(picture),
        )
        self.segment_count += 1
        return segment

    def _seconds(self, stamp: int | None) -> float:
        if stamp is None:
            return self.newest_s
        return max(0.0, float(stamp * self._time_base) - self._origin_s)


class PictureTrack(ABC):
    """A way of sampling at work: takes the packets of a picture track, gives the frames that
    its budget admits."""

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

    @abstractmethod
    def push(self, packet: VideoPacket) -> Iterator[Segment]:
        """The frames that a packet completes."""

    @abstractmethod
    def flush(self) -> Iterator[Segment]:
        """The last frames."""


def upright_picture(frame: VideoFrame) -> Image.Image:
    """A frame as an RGB picture of at most 1280 px, turned as its display matrix says."""
    width_px, height_px = fit(frame.width, frame.height)
    small = frame.reformat(width=width_px, height=height_px, format="rgb24", interpolation="AREA")
    picture: Image.Image = small.to_image()  # type: ignore[no-untyped-call]
    # ``rotation`` counts degrees counter-clockwise.
    turn = _QUARTER_TURNS.get(round(-frame.rotation / 90) % 4)
    return picture if turn is None else picture.transpose(turn)
