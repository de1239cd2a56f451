"""What happens to the assets of an upload stream, and what its client asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.ingest.model import MediaInfo, Segment, SoundPreview
from services.ingest.options import CutOptions
from services.ingest.records import AssetRecord
from services.runtime.errors import SensoriumError


@dataclass(frozen=True, slots=True)
class StreamScope:
    """On whose behalf a stream uploads, and what is to be done with the bytes."""

    tenant: str
    user_id: str
    cut_options: CutOptions
    store_only: bool = False
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class AssetAnnouncement:
    """An asset that is going to be sent. ``size_bytes`` is 0 where it is not known."""

    asset_id: str
    name: str = ""
    size_bytes: int = 0
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    discard_unfinished: bool = False


@dataclass(frozen=True, slots=True)
class UploadOpened:
    """Where to send from."""

    asset_id: str
    resume_offset: int


@dataclass(frozen=True, slots=True)
class InfoFound:
    """What the bytes turned out to be."""

    asset_id: str
    name: str
    info: MediaInfo


@dataclass(frozen=True, slots=True)
class ChunkAck:
    """How far an asset has come."""

    asset_id: str
    received_bytes: int
    durable_bytes: int


@dataclass(frozen=True, slots=True)
class SegmentCut:
    """A piece of an asset."""

    asset_id: str
    segment: Segment


@dataclass(frozen=True, slots=True)
class SoundHeard:
    """Sound of an asset that no segment holds yet."""

    asset_id: str
    preview: SoundPreview


@dataclass(frozen=True, slots=True)
class SegmentsComplete:
    """The asset is cut to its end."""

    asset_id: str
    segment_count: int


@dataclass(frozen=True, slots=True)
class AssetCommitted:
    """The asset is durable."""

    record: AssetRecord


@dataclass(frozen=True, slots=True)
class AssetFailed:
    """This asset failed; the others go on."""

    asset_id: str
    error: SensoriumError


Event = (
    UploadOpened
    | InfoFound
    | ChunkAck
    | SegmentCut
    | SoundHeard
    | SegmentsComplete
    | AssetCommitted
    | AssetFailed
)
