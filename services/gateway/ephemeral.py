"""Files that are looked at and not kept."""

from collections.abc import AsyncIterator

from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import upload_pb2

from services.gateway.stages import Stages
from services.runtime.calls import CallScope, exchange
from services.runtime.status import from_item_error

MEDIA_BYTES_MAX = 3 << 20
"""Of all the files of a request together."""
CHUNK_BYTES = 64 << 10


async def ephemeral_segments(
    stages: Stages, scope: CallScope, media: bytes, asset_id: str = "media"
) -> AsyncIterator[ingest_pb2.StreamingIngestResponse]:
    """Events of cutting a file that is looked at and not kept: its info, its segments.

    Raises SensoriumError for what is wrong with it, whose subject is ``asset_id``.
    """

    async def upload() -> AsyncIterator[ingest_pb2.StreamingIngestRequest]:
        request = ingest_pb2.StreamingIngestRequest
        yield request(config=ingest_pb2.IngestConfig(ephemeral=True, long_audio_windows=True))
        yield request(asset_start=upload_pb2.AssetStart(asset_id=asset_id))
        for offset in range(0, len(media), CHUNK_BYTES):
            data = media[offset : offset + CHUNK_BYTES]
            yield request(chunk=upload_pb2.MediaChunk(asset_id=asset_id, offset=offset, data=data))
        yield request(asset_finish=upload_pb2.AssetFinish(asset_id=asset_id, size_bytes=len(media)))

    async for event in exchange(stages.ingest.StreamingIngest, scope, upload()):
        match event.WhichOneof("event"):
            case "item_error":
                raise from_item_error(event.item_error)
            case "asset_info" | "segment":
                yield event
