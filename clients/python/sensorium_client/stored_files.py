"""The bytes of stored assets and what the server made of them: a part of the client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from sensorium_client import decode
from sensorium_client.calls import GatewayCalls
from sensorium_client.downloads import Download, begin_download


@dataclass(frozen=True)
class Rendition:
    """Another form of an asset, such as its thumbnail."""

    name: str
    mime_type: str
    size_bytes: int
    sha256: str
    width_px: int
    height_px: int
    time_s: float | None
    """Of a key frame of a video: when it is shown."""


@dataclass(frozen=True)
class AssetUrl:
    """Where stored bytes can be fetched from, by anybody who knows it."""

    url: str
    expire_time_s: float | None
    """Seconds since 1970; None where the URL does not expire by itself."""


class StoredFiles(GatewayCalls):
    """The calls about the bytes of stored assets."""

    @asynccontextmanager
    async def download(
        self, asset_id: str, *, offset: int = 0, length: int = 0, rendition: str = ""
    ) -> AsyncIterator[Download]:
        """Open a download of a stored asset, or of a rendition of it.

            async with client.download(asset_id) as download:
                async for piece in download.pieces():
                    ...

        ``length`` 0 means all from ``offset`` on. When the block ends, so does the call.
        """
        request = gateway_pb2.DownloadAssetRequest(
            asset_id=asset_id, offset=offset, length=length, rendition=rendition
        )
        call = self._stub.DownloadAsset(request, metadata=self._metadata())
        try:
            yield await begin_download(call)
        finally:
            call.cancel()

    async def renditions(self, asset_id: str) -> tuple[Rendition, ...]:
        """What a stored asset can be downloaded as besides itself; made in the background."""
        request = gateway_pb2.GetAssetRequest(asset_id=asset_id)
        response = await self._unary(self._stub.GetAsset, request)
        return tuple(map(_rendition, response.asset.renditions))

    async def asset_url(
        self, asset_id: str, *, rendition: str = "", ttl_s: float | None = None
    ) -> AssetUrl:
        """A URL of stored bytes that works without this client, for ``ttl_s`` (default 1 h).

        Raises with the reason URLS_NOT_CONFIGURED where the server has none to give.
        """
        request = gateway_pb2.GetAssetUrlRequest(asset_id=asset_id, rendition=rendition)
        if ttl_s is not None:
            request.ttl.FromMicroseconds(round(ttl_s * 1e6))
        response = await self._unary(self._stub.GetAssetUrl, request)
        expires = response.HasField("expire_time")
        return AssetUrl(
            response.url, decode.unix_seconds(response.expire_time) if expires else None
        )


def _rendition(message: media_pb2.Rendition) -> Rendition:
    return Rendition(
        name=message.name,
        mime_type=message.mime_type,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        width_px=message.width_px,
        height_px=message.height_px,
        time_s=decode.seconds(message.time) if message.HasField("time") else None,
    )
