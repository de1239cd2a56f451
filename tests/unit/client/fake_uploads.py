"""The fake gateway's assets: what is sent to it, and what it says is stored."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.gateway.v1 import gateway_pb2_grpc
from sensorium.media.v1 import media_pb2, stream_pb2, upload_pb2

from tests.unit.client.fake_messages import TRACE_ID, Context, abort, seconds


@dataclass
class Received:
    """What a client sent of one asset."""

    start: upload_pb2.AssetStart
    offsets: list[int] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    finish: upload_pb2.AssetFinish | None = None


@dataclass
class Uploads(gateway_pb2_grpc.GatewayServiceServicer):
    """Takes assets in, finds, lists and deletes them."""

    stored: dict[str, media_pb2.Asset] = field(default_factory=dict)
    by_id: dict[str, media_pb2.Asset] = field(default_factory=dict)
    durable: dict[str, bytes] = field(default_factory=dict)
    refused_names: set[str] = field(default_factory=set)
    refusal: stream_pb2.StreamError = field(
        default_factory=lambda: stream_pb2.StreamError(
            code=3, reason="MEDIA_UNREADABLE", message="This is no picture."
        )
    )
    uploads_to_break: int = 0
    """So many upload streams end, UNAVAILABLE, once their first asset is stored."""
    receiving: asyncio.Event = field(default_factory=asyncio.Event)
    """The first asset was announced."""
    holds_uploads: bool = False
    """Whether assets are taken in but never stored."""
    assets: dict[str, Received] = field(default_factory=dict)

    async def StreamingUpload(
        self, requests: AsyncIterator[pb.StreamingUploadRequest], context: Context
    ) -> AsyncIterator[pb.StreamingUploadResponse]:
        """Store what is sent; refuse the names it is told to refuse."""
        received_bytes = stored_count = 0
        async for request in requests:
            match request.WhichOneof("message"):
                case "config":
                    yield pb.StreamingUploadResponse(ready=pb.UploadReady(trace_id=TRACE_ID))
                case "asset_start":
                    start = request.asset_start
                    if start.name in self.refused_names:
                        refused = stream_pb2.ItemError(item_id=start.asset_id, error=self.refusal)
                        yield pb.StreamingUploadResponse(item_error=refused)
                        continue
                    self.receiving.set()
                    part = self.durable.get(start.asset_id, b"")
                    self.assets[start.asset_id] = Received(start, data=bytearray(part))
                    yield pb.StreamingUploadResponse(
                        upload_opened=upload_pb2.UploadOpened(
                            asset_id=start.asset_id, resume_offset=len(part)
                        )
                    )
                case "chunk":
                    received_bytes += len(request.chunk.data)
                    self.note_chunk(request.chunk)
                    yield pb.StreamingUploadResponse(
                        chunk_ack=upload_pb2.ChunkAck(
                            asset_id=request.chunk.asset_id,
                            received_offset=len(self.assets[request.chunk.asset_id].data),
                        )
                    )
                case "asset_finish" if self._is_other(request.asset_finish):
                    error = stream_pb2.StreamError(
                        code=3, reason="CHECKSUM_MISMATCH", message="The bytes are others."
                    )
                    asset_id = request.asset_finish.asset_id
                    yield pb.StreamingUploadResponse(
                        item_error=stream_pb2.ItemError(item_id=asset_id, error=error)
                    )
                case "asset_finish" if not self.holds_uploads:
                    asset = self.store(request.asset_finish)
                    stored_count += 1
                    yield pb.StreamingUploadResponse(asset=asset)
                    yield pb.StreamingUploadResponse(
                        asset_indexed=pb.AssetIndexed(asset_id=asset.asset_id, document_count=3)
                    )
                    if self.uploads_to_break:
                        self.uploads_to_break -= 1
                        await abort(context, 14, "SHUTTING_DOWN", "The server goes away.")
        yield pb.StreamingUploadResponse(
            summary=pb.UploadSummary(asset_count=stored_count, received_bytes=received_bytes)
        )

    def _is_other(self, finish: upload_pb2.AssetFinish) -> bool:
        """Whether the bytes that came are not those of the hash."""
        return hashlib.sha256(self.assets[finish.asset_id].data).hexdigest() != finish.sha256

    def note_chunk(self, chunk: upload_pb2.MediaChunk) -> None:
        """Take the next bytes; they must follow the ones before."""
        received = self.assets[chunk.asset_id]
        assert chunk.offset == len(received.data)
        assert 0 < len(chunk.data) <= 64 << 10
        received.offsets.append(chunk.offset)
        received.data += chunk.data

    def store(self, finish: upload_pb2.AssetFinish) -> media_pb2.Asset:
        """Commit an asset; its size and hash must be right."""
        received = self.assets[finish.asset_id]
        received.finish = finish
        sha256 = hashlib.sha256(received.data).hexdigest()
        assert finish.sha256 == sha256
        assert finish.size_bytes == len(received.data)
        asset = media_pb2.Asset(
            asset_id=finish.asset_id,
            sha256=sha256,
            size_bytes=len(received.data),
            info=media_pb2.AssetInfo(name=received.start.name),
            indexed=True,
        )
        self.stored.setdefault(sha256, asset)
        self.by_id[asset.asset_id] = asset
        return asset

    async def GetUpload(
        self, request: pb.GetUploadRequest, context: Context
    ) -> pb.GetUploadResponse:
        """How much of an upload is durable."""
        return pb.GetUploadResponse(durable_offset=len(self.durable[request.asset_id]))

    async def FindAssets(
        self, request: pb.FindAssetsRequest, context: Context
    ) -> pb.FindAssetsResponse:
        """What is stored."""
        by_hash = [self.stored[sha256] for sha256 in request.sha256 if sha256 in self.stored]
        by_id = [self.by_id[each] for each in request.asset_ids if each in self.by_id]
        return pb.FindAssetsResponse(assets=[*by_hash, *by_id])

    async def GetAsset(self, request: pb.GetAssetRequest, context: Context) -> pb.GetAssetResponse:
        """Whatever it is called, it is a film with a key frame."""
        frame = media_pb2.Rendition(
            name="keyframe-0",
            mime_type="image/jpeg",
            size_bytes=1234,
            width_px=640,
            height_px=360,
            time=seconds(62.5),
        )
        asset = media_pb2.Asset(asset_id=request.asset_id, renditions=[frame])
        return pb.GetAssetResponse(asset=asset)

    async def ListAssets(
        self, request: pb.ListAssetsRequest, context: Context
    ) -> pb.ListAssetsResponse:
        """What is stored, a page at a time."""
        start = int(request.page_token or 0)
        end = start + request.page_size
        assets = list(self.stored.values())
        return pb.ListAssetsResponse(
            assets=assets[start:end], next_page_token=str(end) if end < len(assets) else ""
        )

    async def DeleteAsset(
        self, request: pb.DeleteAssetRequest, context: Context
    ) -> pb.DeleteAssetResponse:
        """Forget an asset that is stored."""
        if self.stored.pop(request.asset_id, None) is None:
            await abort(context, 5, "ASSET_NOT_FOUND", "There is no such asset.")
        return pb.DeleteAssetResponse()
