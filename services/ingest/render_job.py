"""A job of the process that makes renditions, and how it and its outcome travel."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.ingest.growing import Cancellation, Growth
from services.ingest.model import MadeRendition
from services.ingest.options import CutOptions, Limits
from services.ingest.segmenter import Segmenter
from services.runtime.errors import SensoriumError

_CUT_OPTIONS = CutOptions(thread_count=1)


@dataclass(frozen=True, slots=True)
class RenderJob:
    """Make the renditions of ``source``, each as a file in ``folder``."""

    source: Path
    size_bytes: int
    folder: Path
    reencodes_video: bool
    limits: Limits

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, line: str | bytes) -> "RenderJob":
        """As :meth:`to_json` wrote it."""
        fields = json.loads(line)
        return cls(
            source=Path(fields["source"]),
            size_bytes=fields["size_bytes"],
            folder=Path(fields["folder"]),
            reencodes_video=fields["reencodes_video"],
            limits=Limits(**fields["limits"]),
        )


@dataclass(frozen=True, slots=True)
class RenderOutcome:
    """The renditions, whose content are files, and the error that stopped it, if one did."""

    made: tuple[MadeRendition, ...]
    error: str = ""

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, line: str | bytes) -> "RenderOutcome":
        """As :meth:`to_json` wrote it."""
        fields = json.loads(line)
        return cls(tuple(map(_made_from, fields["made"])), fields["error"])


def _made_from(fields: dict[str, Any]) -> MadeRendition:
    return MadeRendition(**{**fields, "content": Path(fields["content"])})


def run_job(job: RenderJob) -> RenderOutcome:
    """Do it. What was made before an error counts."""
    made = []
    items = Segmenter(job.limits, concurrent_images=1).renditions(
        job.source,
        Growth(job.size_bytes, complete=True),
        Cancellation(),
        _CUT_OPTIONS,
        job.folder / "video" if job.reencodes_video else None,
    )
    try:
        for item in items:
            made.append(_as_file(item, job.folder))
    except SensoriumError as error:
        return RenderOutcome(tuple(made), str(error))
    return RenderOutcome(tuple(made))


def _as_file(item: MadeRendition, folder: Path) -> MadeRendition:
    if isinstance(item.content, Path):
        return item
    path = folder / item.name
    path.write_bytes(item.content)
    return dataclasses.replace(item, content=path)
