"""Stored bytes that can be read: those of an asset, or of a rendition of it."""

from dataclasses import dataclass

from services.ingest.model import Rendition
from services.ingest.records import AssetRecord, Keys
from services.runtime.errors import LimitExceeded


@dataclass(frozen=True, slots=True)
class Content:
    """Stored bytes that can be read: those of an asset, or of a rendition of it."""

    tenant: str
    record: AssetRecord
    rendition: Rendition | None = None

    @property
    def _source(self) -> AssetRecord | Rendition:
        return self.rendition or self.record

    @property
    def key(self) -> str:
        """Of the object that holds the bytes."""
        sha256 = self.record.sha256
        keys = Keys(self.tenant)
        if self.rendition is None:
            return keys.blob(sha256)
        return keys.rendition(sha256, self.rendition.name)

    @property
    def size_bytes(self) -> int:
        """Length of the whole."""
        return self._source.size_bytes

    @property
    def sha256(self) -> str:
        """Of the whole, lower-case hexadecimal."""
        return self._source.sha256

    @property
    def mime_type(self) -> str:
        """Media type."""
        return self.rendition.mime_type if self.rendition else self.record.info.mime_type

    def end_of(self, offset: int, length: int) -> int:
        """Where a range ends; a length of 0 means all that follows, and so does one too long.

        Raises LimitExceeded ``RANGE_PAST_END``.
        """
        if offset > self.size_bytes:
            raise LimitExceeded(
                "RANGE_PAST_END",
                f"There are {self.size_bytes} bytes, none at offset {offset}.",
                subject="offset",
            )
        return min(self.size_bytes, offset + length) if length else self.size_bytes
