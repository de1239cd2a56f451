"""Errors of decoding, in our words."""

from services.ingest.growing import Cancelled, GrowingFile
from services.runtime.errors import InvalidInput, LimitExceeded, SensoriumError

_BAD_PACKETS_MAX = 16


def unreadable(file: GrowingFile) -> Cancelled | SensoriumError:
    """The error for a file that a decoder gave up on; the file's own failure where it was that."""
    return file.failure or InvalidInput(
        "MEDIA_UNREADABLE", "The file is damaged or not what its first bytes say."
    )


def too_long(limit_s: float, what: str) -> LimitExceeded:
    """The error for media past the limit of its length."""
    limit = f"{limit_s / 60:g} minutes" if limit_s >= 60 else f"{limit_s:g} seconds"
    return LimitExceeded(
        "MEDIA_TOO_LONG", f"{what.capitalize()} may be at most {limit} long; cut it shorter."
    )


class DamageCount:
    """Lets single bad packets pass, as players do, and gives up on many."""

    def __init__(self, file: GrowingFile) -> None:
        self._file = file
        self._count = 0

    def add(self) -> None:
        """One more packet could not be decoded. Raises InvalidInput ``MEDIA_UNREADABLE``."""
        self._count += 1
        if self._file.failure is not None or self._count > _BAD_PACKETS_MAX:
            raise unreadable(self._file)
