"""What can be sent: files, and live sources such as a microphone. Read in pieces, never whole."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Measured best for gRPC; a disk is read in larger blocks.
CHUNK_BYTES = 64 << 10
_BLOCK_BYTES = 1 << 20
_PACE_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Labels:
    """The client's own words to find files by."""

    tags: tuple[str, ...] = ()
    """At most 32 of 64 characters."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """At most 32; keys of small letters, digits and "_.-", values of at most 256 characters."""


@dataclass(frozen=True)
class MediaFile:
    """A file to send."""

    path: Path
    name: str = ""
    """Shown to people; empty means the file's own name."""
    asset_id: str = ""
    """[A-Za-z0-9_-]{1,64}; empty takes a fresh one. The same id resumes an upload."""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What else is known of it, to filter searches by."""
    duration_s: float | None = None
    """If set, the bytes are sent spread over this time, as if they were just being recorded."""
    sha256: str = ""
    """Of the bytes, if known; otherwise they are hashed while they are sent."""

    @property
    def display_name(self) -> str:
        """The name that the server is told."""
        return shown_name(self.name or self.path.name)[:255]

    @property
    def size_bytes(self) -> int:
        """Length of the file now."""
        return self.path.stat().st_size

    async def pieces(self, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes from ``offset`` on, at most CHUNK_BYTES at a time, at the file's pace."""
        blocks = _read_blocks(self.path, offset)
        if self.duration_s is None:
            async for block in blocks:
                for piece in _split(block, CHUNK_BYTES):
                    yield piece
            return
        bytes_per_s = max(self.size_bytes, 1) / max(self.duration_s, 1e-3)
        piece_bytes = min(CHUNK_BYTES, max(1, int(bytes_per_s * _PACE_INTERVAL_S)))
        start_s, sent_bytes = time.monotonic(), 0
        async for block in blocks:
            for piece in _split(block, piece_bytes):
                # A recorder has a piece only once its last sample was recorded.
                sent_bytes += len(piece)
                due_s = start_s + sent_bytes / bytes_per_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                yield piece


@dataclass(frozen=True)
class LiveMedia:
    """Media that is still being made: its bytes are sent as the iterator gives them."""

    name: str
    chunks: AsyncIterator[bytes]
    asset_id: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def display_name(self) -> str:
        """The name that the server is told."""
        return self.name[:255]

    @property
    def size_bytes(self) -> int:
        """0: nobody knows yet."""
        return 0

    @property
    def sha256(self) -> str:
        """Empty: hashed while it is sent."""
        return ""

    async def pieces(self, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes as they come. A live source cannot go back: ``offset`` must be 0."""
        if offset:
            raise ValueError("A live source cannot be resumed.")
        async for chunk in self.chunks:
            for piece in _split(chunk, CHUNK_BYTES):
                yield piece


Media = MediaFile | LiveMedia


def shown_name(name: str) -> str:
    """A name of the file system as text: bytes that are no UTF-8 become U+FFFD."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def as_media(source: Media | Path | str) -> Media:
    """A source as media: a path is a file."""
    return MediaFile(Path(source)) if isinstance(source, str | Path) else source


async def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal. Raises OSError."""

    def digest() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return await asyncio.to_thread(digest)


def recorded_duration_s(path: Path) -> float | None:
    """How long a recording or film plays; None for what does not play, such as a photo."""
    import av

    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            if (
                container.duration
                and container.duration > 0
                and "image" not in (container.format.name)
            ):
                return float(container.duration) / 1e6
    except (av.error.FFmpegError, OSError):
        pass
    return None


def _split(data: bytes, size_bytes: int) -> Iterable[bytes]:
    return (data[start : start + size_bytes] for start in range(0, len(data), size_bytes))


async def _read_blocks(path: Path, offset: int) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        file.seek(offset)
        while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
            yield block
    finally:
        file.close()
