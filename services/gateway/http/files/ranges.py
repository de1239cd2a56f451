"""Which bytes a ``Range`` header asks for (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A stretch of bytes that lies within the whole; never empty."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The header that tells where it lies."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class NotSatisfiable(Exception):
    """The range lies outside of the whole."""


def parse_range(header: str, size: int) -> ByteRange | None:
    """The range of a whole of ``size`` bytes; None means all of it, as for a header that is
    malformed or asks for several ranges, which may be answered so. Raises NotSatisfiable."""
    match = _ONE_RANGE.fullmatch(header.strip())
    if match is None:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        # The last so many bytes.
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        if last and int(last) < start:
            return None
        end = min(int(last) + 1, size) if last else size
        length = end - start
    if length <= 0:
        raise NotSatisfiable
    return ByteRange(start, length)
