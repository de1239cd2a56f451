"""Stored bytes to this side: as they come, or into a part file that a later try goes on with."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import grpc

from sensorium_client.errors import SensoriumClientError, from_rpc_error

_HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Content:
    """What the bytes of a download are, whatever range of them was asked for."""

    asset_id: str
    rendition: str
    mime_type: str
    size_bytes: int
    sha256: str
    name: str
    """The name that the asset was sent with."""


class Download:
    """An open download: ``content`` tells what it is, ``pieces`` are its bytes."""

    def __init__(self, responses: AsyncIterator[Any], content: Content) -> None:
        self._responses = responses
        self.content = content

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes in order, at most 256 KiB at a time; for one reader, once."""
        try:
            async for response in self._responses:
                yield response.chunk.data
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


async def begin_download(call: Any) -> Download:
    """Read what a call that was just made is going to send."""
    responses = aiter(call)
    try:
        response = await anext(responses)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    told = response.content
    content = Content(
        asset_id=told.asset_id,
        rendition=told.rendition,
        mime_type=told.mime_type,
        size_bytes=told.size_bytes,
        sha256=told.sha256,
        name=told.name,
    )
    return Download(responses, content)


OpenAt = Callable[[int], AbstractAsyncContextManager[Download]]
Show = Callable[[Content, int], None]


class DownloadDamaged(Exception):
    """The bytes that came are not those that were announced."""


class PartFile:
    """What has come of a download so far, on disk, with its hash. Its methods block.

    Raises BlockingIOError where another download writes the same file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digest = hashlib.sha256()
        self._file: BinaryIO = path.open("ab+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.seek(0)
            while block := self._file.read(_HASH_BLOCK_BYTES):
                self._digest.update(block)
        except OSError:
            self._file.close()
            raise
        self.size_bytes = self._file.tell()

    @property
    def sha256(self) -> str:
        """Of what has come, lower-case hexadecimal."""
        return self._digest.hexdigest()

    def append(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._file.write(piece)
        self._digest.update(piece)
        self.size_bytes += len(piece)

    def clear(self) -> None:
        """Forget what has come."""
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def finish(self, target: Path) -> None:
        """Give the file its name: it is whole there or not there, also after a crash."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self.path.replace(target)

    def close(self) -> None:
        """Let go of the file. What has come stays for a later try."""
        if not self.size_bytes:
            self.path.unlink(missing_ok=True)
        self._file.close()


async def complete(part: PartFile, open_at: OpenAt, show: Show) -> Content:
    """Fetch what a part file does not have yet; all of it anew where the part turns out to be of
    something else. ``open_at`` opens the download at an offset.

    Raises DownloadDamaged where the whole does not have the hash that was announced.
    """
    while True:
        resumed_bytes = part.size_bytes
        try:
            content = await append(part, open_at, show)
        except SensoriumClientError as error:
            if not (resumed_bytes and error.reason == "RANGE_PAST_END"):
                raise
        else:
            if part.sha256 == content.sha256:
                return content
            if not resumed_bytes:
                await asyncio.to_thread(part.clear)
                raise DownloadDamaged
        await asyncio.to_thread(part.clear)


async def append(part: PartFile, open_at: OpenAt, show: Show) -> Content:
    """Fetch what comes after the bytes of a part file. ``show`` is told the content and how many
    bytes of it are there."""
    async with open_at(part.size_bytes) as download, aclosing(download.pieces()) as pieces:
        show(download.content, part.size_bytes)
        async for piece in pieces:
            await asyncio.to_thread(part.append, piece)
            show(download.content, part.size_bytes)
    return download.content
