"""Stored assets in the shape of OpenAI's files, and where their bytes and pictures are."""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlencode

from sensorium.media.v1 import media_pb2

from services.gateway.http.schema import Schema
from services.runtime.durations import to_seconds

Modality = Literal["text", "image", "video", "audio"]

MODALITIES: Mapping[media_pb2.Modality.ValueType, Modality] = {
    media_pb2.MODALITY_TEXT: "text",
    media_pb2.MODALITY_IMAGE: "image",
    media_pb2.MODALITY_VIDEO: "video",
    media_pb2.MODALITY_AUDIO: "audio",
}
PURPOSE = "purpose"
"""Key of the metadata that keeps it."""
PURPOSE_DEFAULT = "user_data"


class Rendition(Schema):
    """Another form of a file, for people to look at."""

    name: str
    media_type: str
    bytes: int
    width: int
    height: int
    time_s: float | None
    """Of a key frame: when it is shown, from the start of the video."""
    url: str


class FileDetails(Schema):
    """What is known of a file besides."""

    modality: Modality
    media_type: str
    """Judged from the bytes."""
    sha256: str
    duration_s: float | None
    """Null for pictures and text, and where the file does not say it at its start."""
    width: int
    height: int
    """In pixels; 0 for sound and text."""
    has_audio: bool
    tags: list[str]
    metadata: dict[str, str]
    duplicate_of: str | None
    """The file that first had these bytes."""
    document_count: int
    """How many documents of it the index holds."""
    url: str
    thumbnail_url: str | None
    renditions: list[Rendition]
    """Only told of a single file, and those that are made by then."""


class FileObject(Schema):
    """A stored file."""

    id: str
    """Its asset id."""
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    """Unix time, in seconds."""
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    """processed: it can be searched; error: the moderation policy keeps it out."""
    sensorium: FileDetails


def content_url(asset_id: str, rendition: str = "") -> str:
    """Path and query where bytes are served."""
    query = f"?{urlencode({'rendition': rendition})}" if rendition else ""
    return f"/v1/files/{asset_id}/content{query}"


def thumbnail_url(info: media_pb2.AssetInfo, offset_s: float | None = None) -> str | None:
    """Path and query of a small picture; None of what shows nothing. ``offset_s`` counts only for
    videos."""
    if info.modality not in (media_pb2.MODALITY_IMAGE, media_pb2.MODALITY_VIDEO):
        return None
    path = f"/v1/files/{info.asset_id}/thumbnail"
    if info.modality == media_pb2.MODALITY_IMAGE or offset_s is None:
        return path
    return f"{path}?{urlencode({'offset_s': f'{offset_s:.3f}'})}"


def duration_s(info: media_pb2.AssetInfo) -> float | None:
    """Length in seconds, where it is known."""
    return to_seconds(info.duration) if info.HasField("duration") else None


def file_object(asset: media_pb2.Asset) -> FileObject:
    """An asset as a file."""
    metadata = dict(asset.metadata)
    blocked = any(found.blocked for found in asset.moderation_findings)
    return FileObject(
        id=asset.asset_id,
        bytes=asset.size_bytes,
        created_at=asset.create_time.seconds,
        filename=asset.info.name,
        purpose=metadata.pop(PURPOSE, PURPOSE_DEFAULT),
        status="processed" if asset.indexed else "error" if blocked else "uploaded",
        sensorium=FileDetails(
            modality=MODALITIES[asset.info.modality],
            media_type=asset.info.mime_type,
            sha256=asset.sha256,
            duration_s=duration_s(asset.info),
            width=asset.info.width_px,
            height=asset.info.height_px,
            has_audio=asset.info.has_audio,
            tags=list(asset.tags),
            metadata=metadata,
            duplicate_of=asset.duplicate_of or None,
            document_count=asset.document_count,
            url=content_url(asset.asset_id),
            thumbnail_url=thumbnail_url(asset.info),
            renditions=[_rendition(asset.asset_id, each) for each in asset.renditions],
        ),
    )


def _rendition(asset_id: str, made: media_pb2.Rendition) -> Rendition:
    return Rendition(
        name=made.name,
        media_type=made.mime_type,
        bytes=made.size_bytes,
        width=made.width_px,
        height=made.height_px,
        time_s=to_seconds(made.time) if made.HasField("time") else None,
        url=content_url(asset_id, made.name),
    )
