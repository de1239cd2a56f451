"""The sound track: decoded, resampled to 16 kHz mono, cut at pauses."""

from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from services.ingest.failures import DamageCount
from services.ingest.model import Segment, SegmentKind, Sound, SoundPreview, Span
from services.ingest.options import CutOptions
from services.ingest.previews import PreviewPace
from services.ingest.windows import SAMPLE_RATE_HZ, PauseCutter, Samples

_GAP_S = 0.1
"""A hole in the time stamps longer than this is filled with silence, so that times stay true."""


class SoundTrack:
    """Takes the packets of one sound track and gives windows, and previews if asked for.

    ``origin_s`` is the time stamp that counts as the start of the asset.
    """

    def __init__(
        self, stream: AudioStream, origin_s: float, options: CutOptions, damage: DamageCount
    ) -> None:
        self._context = stream.codec_context
        self._time_base = stream.time_base or Fraction(1, av.time_base)
        self._origin_s = origin_s
        self._damage = damage
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
        self._cutter = (
            PauseCutter.patient()
            if options.long_audio_windows
            else PauseCutter(
                options.audio_window_min_s,
                options.audio_window_max_s,
                options.audio_window_first_s,
            )
        )
        self._previews = PreviewPace() if options.audio_previews else None
        self._start_s: float | None = None
        self._emitted = 0
        self._index = 0

    @property
    def end_s(self) -> float:
        """How far the track has been decoded, in seconds of the asset."""
        return (self._start_s or 0.0) + self._cutter.sample_count / SAMPLE_RATE_HZ

    @property
    def is_empty(self) -> bool:
        """Whether nothing could be decoded."""
        return self._cutter.sample_count == 0

    def push(self, packet: "Packet[AudioStream]") -> Iterator[Segment | SoundPreview]:
        """The windows that a packet completes; then what is open, if it is time to show it."""
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError:
            self._damage.add()
            return
        for frame in frames:
            yield from self._take(frame)
        if self._previews and self._previews.is_due(
            self._cutter.sample_count, self._cutter.open_count
        ):
            yield self._preview()

    def flush(self) -> Iterator[Segment]:
        """The last windows."""
        try:
            frames = self._context.decode(None)
        except av.FFmpegError:
            frames = []
        for frame in frames:
            yield from self._take(frame)
        if not self.is_empty:
            yield from self._cut(self._resampler.resample(None))
        yield from self._segments(self._cutter.flush())

    def _take(self, frame: AudioFrame) -> Iterator[Segment]:
        time_s = None
        if frame.pts is not None:
            time_s = float(frame.pts * self._time_base) - self._origin_s
        if self._start_s is None:
            self._start_s = max(0.0, time_s or 0.0)
        elif time_s is not None and time_s - self.end_s > _GAP_S:
            gap = round((time_s - self.end_s) * SAMPLE_RATE_HZ)
            yield from self._silence(gap)
        # The resampler would reject a time stamp that jumps; ours are counted in samples.
        frame.pts = None
        try:
            resampled = self._resampler.resample(frame)
        except (av.FFmpegError, ValueError):
            # The format changed in mid-stream: start over with the new one.
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
            resampled = self._resampler.resample(frame)
        yield from self._cut(resampled)

    def _silence(self, count: int) -> Iterator[Segment]:
        while count > 0:
            piece = min(count, SAMPLE_RATE_HZ)
            yield from self._segments(self._cutter.push(np.zeros(piece, np.int16)))
            count -= piece

    def _cut(self, frames: list[AudioFrame]) -> Iterator[Segment]:
        for frame in frames:
            samples = frame.to_ndarray().reshape(-1).astype(np.int16, copy=False)
            yield from self._segments(self._cutter.push(samples))

    def _segments(self, windows: Iterator[Samples]) -> Iterator[Segment]:
        for window in windows:
            span = self._next_span(len(window))
            yield Segment(SegmentKind.AUDIO_WINDOW, self._index, _sound(window), span)
            self._emitted += len(window)
            self._index += 1

    def _preview(self) -> SoundPreview:
        window = self._cutter.open_window()
        return SoundPreview(self._index, _sound(window), self._next_span(len(window)))

    def _next_span(self, sample_count: int) -> Span:
        """When so many samples are heard after the last window."""
        start_s = self._start_s or 0.0
        end = self._emitted + sample_count
        return Span(start_s + self._emitted / SAMPLE_RATE_HZ, start_s + end / SAMPLE_RATE_HZ)


def _sound(samples: Samples) -> Sound:
    return Sound(samples.astype("<i2").tobytes(), SAMPLE_RATE_HZ)
