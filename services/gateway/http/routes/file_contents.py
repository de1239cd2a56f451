"""``/v1/files/{id}/...``: the bytes of a file, what was made of it, and what looks like it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Query, Request
from fastapi.responses import Response
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import download_pb2

from services.gateway.http.errors import error_response
from services.gateway.http.files.objects import FileObject, file_object
from services.gateway.http.files.ranges import ByteRange, NotSatisfiable, parse_range
from services.gateway.http.front import Front, FrontDep
from services.gateway.http.router import Router
from services.gateway.http.schema import Schema
from services.gateway.http.streamed import HeldResponse
from services.runtime.calls import CallScope
from services.runtime.durations import to_duration, to_seconds
from services.runtime.errors import InternalFailure, LimitExceeded

router = Router(prefix="/v1/files", tags=["files"])

RANGE_PAST_END = 416
OFFSET_S_MAX = 1e6
CACHED = "private, no-cache"
"""A browser may keep it, and asks each time whether it is still there."""


class TranscriptLine(Schema):
    """Words that were heard together, and when, in seconds."""

    start_s: float
    end_s: float
    text: str


class FileTranscript(Schema):
    """What was heard in a file, in order of time."""

    data: list[TranscriptLine]


class LookAlike(Schema):
    """A file that looks like another."""

    file: FileObject
    hamming_distance: int
    """In how many of 64 bits the nearest pictures of the two differ."""


class LookAlikes(Schema):
    """What looks alike, the nearest first."""

    data: list[LookAlike]


def _binary(*media_types: str) -> dict[int | str, dict[str, Any]]:
    body = {"schema": {"type": "string", "format": "binary"}}
    content = dict.fromkeys(media_types, body)
    return {200: {"description": "The bytes.", "content": content}}


_PART = {"description": "A part of the bytes.", "content": _binary("*/*")[200]["content"]}


@router.get(
    "/{file_id}/content",
    response_class=Response,
    responses={**_binary("*/*"), 206: _PART, 304: {"description": "As the ETag says."}},
)
async def download_file(
    file_id: str,
    request: Request,
    front: FrontDep,
    rendition: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """The bytes of a file, or of a rendition of it: all of them, or a ``Range``."""
    async with contextlib.AsyncExitStack() as held:
        scope = await held.enter_async_context(front.enter(request, "DownloadAsset"))
        wanted = gateway_pb2.DownloadAssetRequest(asset_id=file_id, rendition=rendition)
        headers = request.headers
        part: ByteRange | None = None
        only_head = request.method == "HEAD"
        if "range" in headers and not only_head:
            content = await _content(front, scope, wanted)
            # A client that has other bytes than these gets all of these.
            if headers.get("if-range", _etag(content)) == _etag(content):
                try:
                    part = parse_range(headers["range"], content.size_bytes)
                except NotSatisfiable:
                    return _past_end(content)
        if part is not None:
            wanted.offset, wanted.length = part.start, part.length
        if only_head:
            # Nobody reads the bytes.
            wanted.length = 1
        download = front.calls.download_asset(scope, wanted)
        await held.enter_async_context(contextlib.aclosing(download))
        content = (await anext(download)).content
        if headers.get("if-none-match") == _etag(content):
            return Response(status_code=304, headers=_headers(content))
        length = part.length if part else content.size_bytes
        sent = {**_headers(content), "Content-Length": str(length)}
        if only_head:
            return Response(headers=sent)
        if part is not None:
            sent["Content-Range"] = part.content_range(content.size_bytes)
        status = 200 if part is None else 206
        return HeldResponse(_data(download), held.pop_all(), status=status, headers=sent)


@router.get("/{file_id}/thumbnail", response_class=Response, responses=_binary("image/jpeg"))
async def retrieve_thumbnail(
    file_id: str,
    request: Request,
    front: FrontDep,
    offset_s: Annotated[float | None, Query(ge=0, le=OFFSET_S_MAX)] = None,
) -> Response:
    """A JPEG of at most 256 px. Of a video: the frame at ``offset_s`` seconds, or without one the
    frame that stands for it."""
    async with front.enter(request, "GetThumbnail") as scope:
        wanted = gateway_pb2.GetThumbnailRequest(asset_id=file_id)
        if offset_s is not None:
            wanted.offset.CopyFrom(to_duration(offset_s))
        made = await front.calls.get_thumbnail(scope, wanted)
        headers = {"Cache-Control": CACHED}
        return Response(made.jpeg, headers=headers, media_type="image/jpeg")


@router.get("/{file_id}/transcript")
async def get_transcript(file_id: str, request: Request, front: FrontDep) -> FileTranscript:
    """What was heard in a file when it was indexed; nothing is listened to again."""
    async with front.enter(request, "GetTranscript") as scope:
        wanted = gateway_pb2.GetTranscriptRequest(asset_id=file_id)
        async with contextlib.aclosing(front.calls.get_transcript(scope, wanted)) as lines:
            data = [
                TranscriptLine(
                    start_s=to_seconds(line.span.start),
                    end_s=to_seconds(line.span.end),
                    text=line.text,
                )
                async for line in lines
            ]
        return FileTranscript(data=data)


@router.get("/{file_id}/duplicates")
async def list_look_alikes(
    file_id: str,
    request: Request,
    front: FrontDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    hamming_distance_max: Annotated[int, Query(ge=0, le=16)] = 8,
) -> LookAlikes:
    """Stored pictures and videos that look like one: in another size, format or light."""
    async with front.enter(request, "FindNearDuplicates") as scope:
        wanted = gateway_pb2.FindNearDuplicatesRequest(
            asset_id=file_id, top_k=limit, hamming_distance_max=hamming_distance_max
        )
        found = await front.calls.find_near_duplicates(scope, wanted)
        alike = [
            LookAlike(file=file_object(each.asset), hamming_distance=each.hamming_distance)
            for each in found.near_duplicates
        ]
        return LookAlikes(data=alike)


async def _content(
    front: Front, scope: CallScope, wanted: gateway_pb2.DownloadAssetRequest
) -> download_pb2.ContentInfo:
    """What there is, without reading it."""
    first_byte = gateway_pb2.DownloadAssetRequest(
        asset_id=wanted.asset_id, rendition=wanted.rendition, length=1
    )
    async with contextlib.aclosing(front.calls.download_asset(scope, first_byte)) as download:
        async for event in download:
            return event.content
    raise InternalFailure("STAGE_ENDED", "ingest ended without the content.", subject="ingest")


async def _data(
    download: AsyncIterator[gateway_pb2.DownloadAssetResponse],
) -> AsyncIterator[bytes]:
    async for event in download:
        yield event.chunk.data


def _etag(content: download_pb2.ContentInfo) -> str:
    return f'"{content.sha256}"'


def _headers(content: download_pb2.ContentInfo) -> dict[str, str]:
    name = quote(content.name or content.asset_id, safe="")
    return {
        "Content-Type": content.mime_type,
        "Content-Disposition": f"inline; filename*=UTF-8''{name}",
        "Accept-Ranges": "bytes",
        "Cache-Control": CACHED,
        "ETag": _etag(content),
    }


def _past_end(content: download_pb2.ContentInfo) -> Response:
    error = LimitExceeded(
        "RANGE_PAST_END", f"The file has {content.size_bytes} bytes.", subject="Range"
    )
    response = error_response(error)
    response.status_code = RANGE_PAST_END
    response.headers["Content-Range"] = f"bytes */{content.size_bytes}"
    return response
