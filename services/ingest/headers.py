"""What libavformat does not tell of a stream it cannot seek in: MP4 layout, WAV length.

Box layout: ISO/IEC 14496-12. WAVE chunks: Microsoft RIFF specification.
"""

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.ingest.growing import GrowingFile
from services.runtime.errors import InvalidInput

_BOX_COUNT_MAX = 100_000
_INDEX_BYTES_MAX = 64 << 20
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
_CHUNK_COUNT_MAX = 64


@dataclass(frozen=True, slots=True)
class Mp4Layout:
    """How an MP4 or MOV file is laid out."""

    index_first: bool
    """The ``moov`` box comes before the media: it can be decoded as it arrives."""
    fragmented: bool
    """It comes in fragments; the length stated at its start means nothing."""
    quarter_turns: int
    """Quarter turns clockwise that make the picture upright, 0 to 3."""


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    body: int
    end: int | None
    """None: up to the end of the file."""


def read_mp4_layout(file: GrowingFile) -> Mp4Layout:
    """Find the index. Where it comes last this waits for the whole file.

    Raises:
        InvalidInput: ``MEDIA_TRUNCATED`` where the file ends before its index.
    """
    index_first = True
    for box in _top_boxes(file):
        if box.kind == b"moov":
            if box.end is None or box.end - box.body > _INDEX_BYTES_MAX:
                raise _unreadable()
            file.seek(box.body)
            index = file.read_exactly(box.end - box.body)
            if len(index) < box.end - box.body:
                raise _truncated()
            kinds = dict(_inner_boxes(index))
            return Mp4Layout(index_first, b"mvex" in kinds, _quarter_turns(index))
        if box.kind in (b"mdat", b"moof"):
            index_first = False
            file.wait_complete()
    raise _truncated()


def require_whole_mp4(file: GrowingFile) -> None:
    """Wait for the last byte. Raises InvalidInput ``MEDIA_TRUNCATED`` when a box is cut off."""
    size_bytes = file.wait_complete()
    for box in _top_boxes(file):
        if box.end is not None and box.end > size_bytes:
            raise _truncated()


def _top_boxes(file: GrowingFile) -> Iterator[_Box]:
    offset = 0
    for _ in range(_BOX_COUNT_MAX):
        file.seek(offset)
        header = file.read_exactly(16)
        if len(header) < 8:
            return
        size_bytes, kind = struct.unpack(">I4s", header[:8])
        body = offset + 8
        if size_bytes == 1 and len(header) == 16:
            size_bytes, body = struct.unpack(">Q", header[8:])[0], offset + 16
        if size_bytes == 0:
            yield _Box(kind, body, None)
            return
        if size_bytes < body - offset:
            raise _unreadable()
        yield _Box(kind, body, offset + size_bytes)
        offset += size_bytes


def _inner_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 0
    while offset + 8 <= len(data):
        size_bytes, kind = struct.unpack_from(">I4s", data, offset)
        if size_bytes < 8:
            return
        yield kind, data[offset + 8 : offset + size_bytes]
        offset += size_bytes


def _quarter_turns(index: bytes) -> int:
    """Rotation of the first track with a picture, from the matrix of its track header."""
    for kind, track in _inner_boxes(index):
        header = dict(_inner_boxes(track)).get(b"tkhd", b"") if kind == b"trak" else b""
        matrix = 52 if header[:1] == b"\1" else 40
        if len(header) < matrix + 44:
            continue
        a, b = struct.unpack_from(">ii", header, matrix)
        width, height = struct.unpack_from(">II", header, matrix + 36)
        if width and height:
            return round(math.degrees(math.atan2(b, a)) / 90) % 4
    return 0


def read_wav_duration_s(file: GrowingFile) -> float | None:
    """Length that a WAV file's header states; None where it leaves it open."""
    offset, bytes_per_s = 12, 0
    for _ in range(_CHUNK_COUNT_MAX):
        file.seek(offset)
        header = file.read_exactly(8)
        if len(header) < 8:
            return None
        kind, size_bytes = struct.unpack("<4sI", header)
        if kind == b"data":
            return (
                None
                if size_bytes in _UNKNOWN_SIZES or not bytes_per_s
                else (size_bytes / bytes_per_s)
            )
        if kind == b"fmt ":
            layout = file.read_exactly(16)
            bytes_per_s = struct.unpack_from("<I", layout, 8)[0] if len(layout) == 16 else 0
        offset = file.seek(size_bytes + size_bytes % 2 + offset + 8, os.SEEK_SET)
    return None


def _truncated() -> InvalidInput:
    return InvalidInput("MEDIA_TRUNCATED", "The file ends before it is complete; send all of it.")


def _unreadable() -> InvalidInput:
    return InvalidInput("MEDIA_UNREADABLE", "The file is damaged and cannot be decoded.")
