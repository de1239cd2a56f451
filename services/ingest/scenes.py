"""Sampling of shots: one frame for each, and another now and then within a long one.

Cuts are found by PySceneDetect's content detector: the mean change of hue,
saturation and brightness from one frame to the next. So every frame is decoded,
and looked at in a small size. A shot is shown by its frame half a second after
the cut, where a fade is over; a shorter one by its last frame.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.video.frame import VideoFrame

from services.ingest.frames import FrameSource, PictureTrack, VideoPacket
from services.ingest.model import Segment
from services.ingest.sampling import Budget

THRESHOLD = 27.0
"""Mean change, 0 to 255, that makes a cut; the detector's own default."""
SHOT_S_MIN = 0.4
"""A cut sooner after another is a flash."""
SETTLED_S = 0.5
LONG_SHOT_S = 10.0
"""Within one shot a frame is taken so often."""
_LOOK_PX = (256, 144)
_TIME_BASE = Fraction(1, 1000)


class CutDetector:
    """Tells of each frame, in order of time, whether a shot begins with it."""

    def __init__(self, rate_hz: float) -> None:
        # Here, because it takes a third of a second to import.
        from scenedetect.common import FrameTimecode, Timecode
        from scenedetect.detector import FlashFilter
        from scenedetect.detectors.content_detector import ContentDetector

        def timecode(time_s: float) -> FrameTimecode:
            return FrameTimecode(Timecode(round(time_s / _TIME_BASE), _TIME_BASE), rate_hz)

        self._timecode = timecode
        self._detector = ContentDetector(
            THRESHOLD, min_scene_len=SHOT_S_MIN, filter_mode=FlashFilter.Mode.SUPPRESS
        )

    def begins_shot(self, frame: VideoFrame, time_s: float) -> bool:
        """Whether the frame differs from the one before as after a cut."""
        # The same size always: a stream may change its own, and then nothing could be compared.
        small = frame.reformat(*_LOOK_PX, format="bgr24").to_ndarray()
        return bool(self._detector.process_frame(self._timecode(time_s), small))


class SceneTrack(PictureTrack):
    """A frame for each shot that the budget admits."""

    def __init__(self, source: FrameSource, budget: Budget) -> None:
        super().__init__(source, budget)
        self._cuts = CutDetector(source.rate_hz)
        self._due_s = SETTLED_S
        """When the shot shows its next frame."""
        self._waiting: VideoFrame | None = None
        """The latest frame of a shot that has shown none yet."""
        self._is_shown = False

    def push(self, packet: VideoPacket) -> Iterator[Segment]:
        """The frames that a packet completes."""
        self._source.note(packet)
        if self._budget.bin is not None:
            yield from self._look(self._source.decode(packet))

    def flush(self) -> Iterator[Segment]:
        """The last frames; one in any case, if there is one."""
        if self._budget.bin is not None:
            yield from self._look(self._source.decode(None))
        last = self._waiting
        yield from self._end_shot()
        if self.is_empty and last is not None:
            yield self._source.segment(last)

    def _look(self, frames: Iterable[VideoFrame]) -> Iterator[Segment]:
        for frame in frames:
            time_s = self._source.frame_s(frame)
            if self._cuts.begins_shot(frame, time_s):
                yield from self._end_shot()
                self._is_shown, self._due_s = False, time_s + SETTLED_S
            if time_s >= self._due_s and self._budget.admits(time_s):
                yield self._show(frame)
                self._is_shown, self._due_s = True, time_s + LONG_SHOT_S
                self._waiting = None
            elif not self._is_shown:
                # Also where the budget has a frame of this time: a later one may be let in.
                self._waiting = frame

    def _end_shot(self) -> Iterator[Segment]:
        """A shot that ended before its frame was due shows its last one."""
        last, self._waiting = self._waiting, None
        if last is not None and self._budget.admits(self._source.frame_s(last)):
            yield self._show(last)

    def _show(self, frame: VideoFrame) -> Segment:
        self._budget.spend()
        return self._source.segment(frame)
