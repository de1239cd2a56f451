"""Containers of sound and video, opened with every door closed that a decoder has open.

No names of clients reach libavformat (they could be addresses), the demuxer is
the one that the bytes call for, codecs are those of a list, probing is bounded,
and frames above the pixel cap are refused both while probing and while decoding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from services.ingest.audio import SoundTrack
from services.ingest.failures import DamageCount, too_long, unreadable
from services.ingest.frames import FrameSource, PictureTrack
from services.ingest.growing import GrowingFile, SequentialView
from services.ingest.headers import (
    Mp4Layout,
    read_mp4_layout,
    read_wav_duration_s,
    require_whole_mp4,
)
from services.ingest.keyframes import KeyframeTrack
from services.ingest.model import CutItem, MediaInfo, Modality
from services.ingest.options import (
    DURATION_TOLERANCE_S,
    CutOptions,
    FrameSampling,
    Limits,
    SamplingMethod,
)
from services.ingest.sampling import Budget, sampling_bins
from services.ingest.scenes import SceneTrack
from services.ingest.sniff import MediaType
from services.ingest.video import UniformTrack
from services.runtime.errors import InvalidInput, LimitExceeded

VIDEO_CODECS = (
    *("h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mpeg4"),
    *("mpeg2video", "mpeg1video", "h263", "flv", "mjpeg", "theora", "prores"),
)
AUDIO_CODECS = (
    *("aac", "mp3", "mp3float", "mp2", "mp2float", "opus", "libopus", "vorbis", "libvorbis"),
    *("flac", "alac", "ac3", "eac3", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"),
    *("pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_u8", "pcm_alaw", "pcm_mulaw", "adpcm_ms"),
    *("adpcm_ima_wav", "gsm_ms", "speex"),
)
_FORMAT_NAMES = {"mov": "mov,mp4,m4a,3gp,3g2,mj2", "matroska": "matroska,webm"}
_STREAM_COUNT_MAX = 32
_QUICK_PROBE = {"probesize": "65536", "analyzeduration": "0"}
_THOROUGH = {"flv", "flac"}
"""Demuxers that need the usual probing to find their parameters."""
TRACKS: dict[SamplingMethod, Callable[[FrameSource, Budget], PictureTrack]] = {
    SamplingMethod.UNIFORM: UniformTrack,
    SamplingMethod.KEYFRAMES: KeyframeTrack,
    SamplingMethod.SCENE: SceneTrack,
}
_AUDIO_ONLY_TYPES = {"video/quicktime": "audio/mp4"}


@dataclass(frozen=True, slots=True)
class TimedMedia:
    """An open container and what was learned of it."""

    container: InputContainer
    video: VideoStream | None
    audio: AudioStream | None
    info: MediaInfo
    limit_s: float

    @property
    def origin_s(self) -> float:
        """The time stamp that counts as the start of the asset."""
        return (self.container.start_time or 0) / av.time_base


def cut_timed(
    file: GrowingFile, found: MediaType, options: CutOptions, limits: Limits
) -> Iterator[CutItem]:
    """The info as soon as the header is there, then frames and windows as they can be decoded.

    One pass over the container feeds both tracks.

    Raises:
        InvalidInput: ``MEDIA_UNREADABLE``, ``MEDIA_TRUNCATED`` or
            ``UNSUPPORTED_MEDIA``.
        LimitExceeded: ``MEDIA_TOO_LONG`` or ``VIDEO_TOO_LARGE``.
    """
    with open_timed(file, found, options, limits) as media:
        yield media.info
        damage = DamageCount(file)
        sound: SoundTrack | None = None
        picture: PictureTrack | None = None
        if media.audio is not None:
            sound = SoundTrack(media.audio, media.origin_s, options, damage)
        if media.video is not None:
            source = FrameSource(media.video, media.origin_s, damage)
            picture = picture_track(source, media.info.duration_s, options.frame_sampling)
        tracks = [track for track in (picture, sound) if track is not None]
        try:
            for packet in media.container.demux(
                [stream for stream in (media.video, media.audio) if stream is not None]
            ):
                if packet.size == 0:
                    continue  # the demuxer's own flush marks
                if picture is not None and packet.stream is media.video:
                    yield from picture.push(cast("Packet[VideoStream]", packet))
                elif sound is not None and packet.stream is media.audio:
                    yield from sound.push(cast("Packet[AudioStream]", packet))
                if max(track.end_s for track in tracks) > media.limit_s + DURATION_TOLERANCE_S:
                    raise too_long(media.limit_s, media.info.modality.value)
        except av.FFmpegError:
            raise unreadable(file) from None
        for track in tracks:
            yield from track.flush()
        if file.failure is not None or all(track.is_empty for track in tracks):
            raise unreadable(file)
    if found.demuxer == "mov":
        require_whole_mp4(file)


def picture_track(
    source: FrameSource, duration_s: float | None, sampling: FrameSampling
) -> PictureTrack:
    """The track that samples as it is told."""
    budget = Budget(sampling_bins(duration_s, sampling))
    return TRACKS[sampling.method](source, budget)


def inspect_timed(
    file: GrowingFile, found: MediaType, options: CutOptions, limits: Limits
) -> MediaInfo:
    """The header, and for MP4 that the file is whole. Raises as :func:`cut_timed`."""
    with open_timed(file, found, options, limits) as media:
        info = media.info
    if found.demuxer == "mov":
        require_whole_mp4(file)
    return info


@contextmanager
def open_timed(
    file: GrowingFile,
    found: MediaType,
    options: CutOptions,
    limits: Limits,
    *,
    seeking: bool = False,
) -> Iterator[TimedMedia]:
    """Open a container and choose its tracks; ``seeking`` in a file that is there as a whole.
    Raises as :func:`cut_timed`."""
    layout = read_mp4_layout(file) if found.demuxer == "mov" else None
    stated_s = read_wav_duration_s(file) if found.demuxer == "wav" else None
    file.seek(0)
    thorough = not layout.fragmented if layout else found.demuxer in _THOROUGH
    pixel_cap = {"max_pixels": str(limits.image_pixels_max)}
    try:
        container = av.open(
            file if seeking or (layout and not layout.index_first) else SequentialView(file),
            mode="r",
            format=found.demuxer,
            options=pixel_cap,
            container_options={
                "format_whitelist": _FORMAT_NAMES.get(found.demuxer, found.demuxer),
                "codec_whitelist": ",".join((*VIDEO_CODECS, *AUDIO_CODECS)),
                "max_streams": str(_STREAM_COUNT_MAX),
                **({} if thorough else _QUICK_PROBE),
            },
            metadata_errors="replace",
        )
    except (av.FFmpegError, ValueError):
        raise unreadable(file) from None
    with container:
        media = _examine(container, found, layout, stated_s, limits)
        for stream in (media.video, media.audio):
            if stream is not None:
                stream.codec_context.options = pixel_cap
                stream.codec_context.thread_count = options.thread_count
        if media.video is not None:
            media.video.codec_context.thread_type = "AUTO"
        yield media


def _examine(
    container: InputContainer,
    found: MediaType,
    layout: Mp4Layout | None,
    stated_s: float | None,
    limits: Limits,
) -> TimedMedia:
    """Choose the tracks and hold what they state against the limits."""
    video = next((s for s in container.streams.video if _is_taken(s, VIDEO_CODECS)), None)
    audio = next((s for s in container.streams.audio if _is_taken(s, AUDIO_CODECS)), None)
    if video is None and audio is None:
        raise InvalidInput(
            "UNSUPPORTED_MEDIA", "The file holds no track in a codec that can be decoded."
        )
    duration_s = stated_s
    if container.duration and not (layout and layout.fragmented):
        duration_s = container.duration / av.time_base
    modality = Modality.VIDEO if video is not None else Modality.AUDIO
    limit_s = limits.video_seconds_max if video is not None else limits.audio_seconds_max
    if duration_s is not None and duration_s > limit_s + DURATION_TOLERANCE_S:
        raise too_long(limit_s, modality.value)
    width_px, height_px = (video.width, video.height) if video is not None else (0, 0)
    if width_px * height_px > limits.image_pixels_max:
        raise LimitExceeded(
            "VIDEO_TOO_LARGE",
            f"A frame may have at most {limits.image_pixels_max / 1e6:g} megapixels.",
        )
    if layout and layout.quarter_turns % 2:
        width_px, height_px = height_px, width_px
    info = MediaInfo(
        modality=modality,
        mime_type=found.mime_type if video is not None else _audio_type(found.mime_type),
        has_video=video is not None,
        has_audio=audio is not None,
        duration_s=duration_s,
        width_px=width_px,
        height_px=height_px,
        streamable=layout is None or layout.index_first,
    )
    return TimedMedia(container, video, audio, info, limit_s)


def _is_taken(stream: VideoStream | AudioStream, codecs: tuple[str, ...]) -> bool:
    if stream.disposition & Disposition.attached_pic:
        return False  # the cover of an album
    context = stream.codec_context
    return context is not None and context.codec.name in codecs


def _audio_type(mime_type: str) -> str:
    return _AUDIO_ONLY_TYPES.get(mime_type, mime_type.replace("video/", "audio/"))
