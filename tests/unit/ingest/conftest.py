"""Cutting of bytes without a server."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from services.ingest.growing import Cancellation, Growth
from services.ingest.model import MediaInfo, Segment
from services.ingest.options import CutOptions, Limits
from services.ingest.segmenter import Segmenter


def cut(
    path: Path, content: bytes, options: CutOptions | None = None, limits: Limits | None = None
) -> tuple[MediaInfo, list[Segment]]:
    """Cut a complete file."""
    path.write_bytes(content)
    growth = Growth(len(content), complete=True)
    return _split(
        Segmenter(limits or Limits()).cut(path, growth, Cancellation(), "", options or CutOptions())
    )


def cut_growing(path: Path, content: bytes, ends: Sequence[int]) -> tuple[MediaInfo, list[Segment]]:
    """Cut a file that grows to each of ``ends`` in turn while it is being cut."""
    path.write_bytes(content)
    growth = Growth()

    def grow() -> None:
        for end in sorted(ends):
            growth.advance(end)
            # Long enough for the reader to come to this end and wait there.
            time.sleep(0.002)
        growth.advance(len(content))
        growth.complete()

    writer = threading.Thread(target=grow)
    writer.start()
    result = _split(Segmenter(Limits()).cut(path, growth, Cancellation(), "", CutOptions()))
    writer.join()
    return result


def _split(items: object) -> tuple[MediaInfo, list[Segment]]:
    info, *segments = list(items)  # type: ignore[call-overload]
    assert isinstance(info, MediaInfo)
    return info, segments
