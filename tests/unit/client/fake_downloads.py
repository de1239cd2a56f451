"""The bytes that the fake gateway gives out, with the trouble that is asked for."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.gateway.v1 import gateway_pb2_grpc
from sensorium.media.v1 import download_pb2, upload_pb2

from tests.unit.client.fake_messages import Context, abort

DOWNLOAD_CHUNK_BYTES = 1000


@dataclass
class Downloadable:
    """An asset to fetch. The connection breaks once after ``breaks_at`` bytes; what comes is
    wrong from ``wrong_at`` on."""

    data: bytes
    name: str = ""
    breaks_at: int | None = None
    wrong_at: int | None = None


@dataclass
class Downloads(gateway_pb2_grpc.GatewayServiceServicer):
    """Gives out what it was given."""

    downloads: dict[str, Downloadable] = field(default_factory=dict)
    download_offsets: list[int] = field(default_factory=list)

    async def GetAssetUrl(
        self, request: pb.GetAssetUrlRequest, context: Context
    ) -> pb.GetAssetUrlResponse:
        """One that tells what was asked for."""
        url = f"https://cdn.example/{request.asset_id}/{request.rendition}"
        return pb.GetAssetUrlResponse(url=url)

    async def DownloadAsset(
        self, request: pb.DownloadAssetRequest, context: Context
    ) -> AsyncIterator[pb.DownloadAssetResponse]:
        """What it was given, in small chunks, with the trouble that was asked for."""
        self.download_offsets.append(request.offset)
        asset = self.downloads.get(request.asset_id)
        if asset is None:
            await abort(context, 5, "ASSET_NOT_FOUND", "There is no such asset.")
        assert asset is not None
        data = asset.data
        if request.offset > len(data):
            await abort(context, 11, "RANGE_PAST_END", "The asset ends before this offset.")
        content = download_pb2.ContentInfo(
            asset_id=request.asset_id,
            rendition=request.rendition,
            mime_type="image/jpeg",
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            name=asset.name,
        )
        yield pb.DownloadAssetResponse(content=content)
        if asset.wrong_at is not None:
            data = data[: asset.wrong_at] + bytes(len(data) - asset.wrong_at)
        end = request.offset + request.length if request.length else len(data)
        for offset in range(request.offset, end, DOWNLOAD_CHUNK_BYTES):
            if asset.breaks_at is not None and offset >= asset.breaks_at:
                asset.breaks_at = None
                await abort(context, 14, "STAGE_UNAVAILABLE", "The server went away.")
            piece = data[offset : min(end, offset + DOWNLOAD_CHUNK_BYTES)]
            chunk = upload_pb2.MediaChunk(asset_id=request.asset_id, offset=offset, data=piece)
            yield pb.DownloadAssetResponse(chunk=chunk)

    async def GetThumbnail(
        self, request: pb.GetThumbnailRequest, context: Context
    ) -> pb.GetThumbnailResponse:
        """Not a picture: which one was asked for."""
        return pb.GetThumbnailResponse(
            jpeg=f"{request.asset_id} {request.offset.ToMilliseconds()}".encode()
        )
