"""What becomes of a file."""

import enum
from dataclasses import dataclass, field

from sensorium_client.bulk.walk import FoundFile
from sensorium_client.errors import SensoriumClientError


class FileStatus(enum.StrEnum):
    """How it went."""

    STORED = "stored"
    """Sent in this run; committed and indexed."""
    SKIPPED = "skipped"
    """There already, committed and indexed."""
    FAILED = "failed"


@dataclass(frozen=True)
class Failure:
    """Why a file was not stored."""

    code: str
    """Name of a gRPC status code."""
    reason: str
    """UPPER_SNAKE_CASE, for programs."""
    message: str
    """One sentence for a person."""
    transient: bool = False
    """Whether trying again can help."""
    retry_after_s: float | None = None
    """When, as far as the server said."""


@dataclass(frozen=True)
class FileOutcome:
    """How one file went, in the end or so far."""

    file: FoundFile
    status: FileStatus
    asset_id: str = ""
    """Empty where the file could not even be read."""
    failure: Failure | None = None
    warnings: tuple[str, ...] = ()
    """What of a stored file could not be perceived, or was flagged."""


@dataclass(frozen=True)
class FileProgress:
    """A file is on its way."""

    file: FoundFile
    received_bytes: int


_TRANSIENT_CODES = frozenset(
    ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "INTERNAL")
)
FILE_CHANGED = "CHECKSUM_MISMATCH"
"""The reason where a file is another than when it was hashed: hashed again it may be right."""
_TRANSIENT_REASONS = frozenset(
    # Another stream, perhaps of a client that was killed, still holds the same asset.
    (
        *("UPLOAD_IN_PROGRESS", "UPLOAD_STALLED", "CHUNK_OFFSET_MISMATCH", "ASSET_UNFINISHED"),
        *(FILE_CHANGED, "SIZE_MISMATCH"),
    )
)


def failure(code: str, reason: str, message: str, retry_after_s: float | None = None) -> Failure:
    """A failure that the server told; whether it passes follows from code and reason."""
    transient = code in _TRANSIENT_CODES or reason in _TRANSIENT_REASONS
    return Failure(code, reason, message, transient, retry_after_s)


def failure_of(error: SensoriumClientError | OSError) -> Failure:
    """An error as the failure of a file."""
    if isinstance(error, OSError):
        message = f"{error.strerror or 'It cannot be read'}."
        return Failure("NOT_FOUND", "FILE_UNREADABLE", message)
    return failure(error.code, error.reason, error.message, error.retry_after_s)


@dataclass
class Report:
    """All files of a run."""

    file_count: int
    """Files that there were to send."""
    outcomes: list[FileOutcome] = field(default_factory=list)
    duration_s: float = 0.0

    def of(self, status: FileStatus) -> list[FileOutcome]:
        """The files with a status."""
        return [outcome for outcome in self.outcomes if outcome.status is status]

    @property
    def left_count(self) -> int:
        """Files that were not come to."""
        return self.file_count - len(self.outcomes)
