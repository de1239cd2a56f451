"""Text into passages, as it arrives."""

import codecs
import re
from collections.abc import Iterator

from services.ingest.growing import GrowingFile
from services.ingest.model import Characters, Segment, SegmentKind
from services.ingest.options import Limits
from services.runtime.errors import InvalidInput, LimitExceeded

PASSAGE_CHARACTERS_MAX = 1000
_EARLIEST_CUT = 200
"""A paragraph that ends before this many characters does not end the passage."""
_READ_BYTES = 1 << 16
_BOUNDARIES = (
    re.compile(r"\n\s*\n"),
    re.compile(r"[.!?…][\"'”’)\]]*\s|[。！？]"),
    re.compile(r"\s"),
)
"""Where to cut, best first: the end of a paragraph, of a sentence, of a word."""


def cut_text(file: GrowingFile, limits: Limits) -> Iterator[Segment]:
    """Passages of at most 1,000 characters that end with a paragraph or a sentence.

    Ranges count the code points of the decoded file, a byte order mark included.

    Raises:
        InvalidInput: ``MEDIA_UNREADABLE`` for bytes that are not UTF-8.
        LimitExceeded: ``TEXT_TOO_LARGE``.
    """
    held, start, index = "", 0, 0
    for text in _decoded(file, limits.text_bytes_max):
        held += text
        while len(held) > PASSAGE_CHARACTERS_MAX:
            end = passage_end(held)
            if passage := _passage(held[:end], start, index):
                yield passage
                index += 1
            held, start = held[end:], start + end
    if passage := _passage(held, start, index):
        yield passage


def passage_end(text: str) -> int:
    """Length of the first passage of ``text``, which is longer than one passage."""
    window = text[:PASSAGE_CHARACTERS_MAX]
    for boundary in _BOUNDARIES:
        ends = [found.end() for found in boundary.finditer(window)]
        if ends and ends[-1] >= _EARLIEST_CUT:
            return ends[-1]
    return PASSAGE_CHARACTERS_MAX


def _passage(raw: str, start: int, index: int) -> Segment | None:
    kept = raw.strip().strip("\ufeff").strip()
    if not kept:
        return None
    first = start + raw.index(kept)
    return Segment(
        kind=SegmentKind.TEXT_PASSAGE,
        index=index,
        payload=kept,
        characters=Characters(first, first + len(kept)),
    )


def _decoded(file: GrowingFile, bytes_max: int) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    size_bytes = 0
    try:
        while data := file.read(_READ_BYTES):
            size_bytes += len(data)
            if size_bytes > bytes_max:
                raise LimitExceeded(
                    "TEXT_TOO_LARGE", f"Text may have at most {bytes_max} bytes; split it."
                )
            yield decoder.decode(data)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise InvalidInput("MEDIA_UNREADABLE", "The text is not valid UTF-8.") from None
