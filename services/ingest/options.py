"""What the stage is allowed and told to do, frozen."""

from dataclasses import dataclass
from enum import Enum

from services.runtime.settings import Settings

DURATION_TOLERANCE_S = 0.5
"""Codecs pad the end of a recording; so much more than the limit is let through."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest asset that is taken."""

    asset_bytes_max: int = 2 << 30
    image_pixels_max: int = 64_000_000
    video_seconds_max: float = 300.0
    audio_seconds_max: float = 1800.0
    text_bytes_max: int = 4 << 20


class SamplingMethod(Enum):
    """How the frames of a video are chosen."""

    UNIFORM = "uniform"
    KEYFRAMES = "keyframes"
    SCENE = "scene"


@dataclass(frozen=True, slots=True)
class FrameSampling:
    """Which frames of a video become segments."""

    method: SamplingMethod = SamplingMethod.UNIFORM
    count_max: int = 32
    """Frame budget of one video."""
    rate_hz: float | None = None
    """At most so many a second; None leaves it to the method."""


@dataclass(frozen=True, slots=True)
class CutOptions:
    """How an asset is cut into segments. The same options give the same segments.

    ``long_audio_windows`` has the lengths of sound be those of ``PauseCutter.patient`` instead.
    ``audio_previews`` lets sound be shown before its window is cut; it changes no segment.
    """

    frame_sampling: FrameSampling = FrameSampling()
    audio_window_first_s: float = 4.0
    audio_window_min_s: float = 6.0
    audio_window_max_s: float = 14.0
    long_audio_windows: bool = False
    audio_previews: bool = False
    thread_count: int = 1
    """Threads of one video decoder."""


class RenditionKinds(Enum):
    """Which renditions are made in the background; the value is that of the setting."""

    NONE = "none"
    PICTURES = "pictures"
    ALL = "all"

    @property
    def recipe(self) -> str:
        """Names the rules, so that what was made by other ones is made again."""
        return "1+video" if self is RenditionKinds.ALL else "1"

    def are_met_by(self, recipe: str) -> bool:
        """Whether what was made by a recipe is all that is asked for."""
        return set(self.recipe.split("+")) <= set(recipe.split("+"))


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings state."""
    return Limits(
        asset_bytes_max=settings.asset_bytes_max,
        image_pixels_max=settings.image_pixels_max,
        video_seconds_max=settings.video_seconds_max,
        audio_seconds_max=settings.audio_seconds_max,
        text_bytes_max=settings.text_bytes_max,
    )


def cut_options_of(settings: Settings) -> CutOptions:
    """The cutting that the settings state."""
    return CutOptions(
        frame_sampling=FrameSampling(count_max=settings.frame_count_max),
        audio_window_first_s=settings.audio_window_first_s,
        audio_window_min_s=settings.audio_window_min_s,
        audio_window_max_s=settings.audio_window_max_s,
        thread_count=settings.cpu_threads,
    )
