"""What moderation found in an asset, as it is kept on disk."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.ingest.model import Characters, ModerationFinding, Region, Span

Findings = tuple[ModerationFinding, ...]


def findings_to_json(
    findings: Sequence[ModerationFinding], scores: Sequence[ModerationFinding]
) -> bytes:
    """Findings and scores as JSON."""
    kept = {
        "findings": [dataclasses.asdict(found) for found in findings],
        "scores": [dataclasses.asdict(score) for score in scores],
    }
    return json.dumps(kept).encode()


def findings_from_json(content: bytes) -> tuple[Findings, Findings]:
    """Findings and scores as they were kept; earlier versions kept a list of findings alone.
    Raises ValueError, KeyError or TypeError for damaged ones."""
    kept = json.loads(content)
    if isinstance(kept, list):
        kept = {"findings": kept, "scores": []}
    return tuple(map(_finding, kept["findings"])), tuple(map(_finding, kept["scores"]))


def _finding(fields: Mapping[str, Any]) -> ModerationFinding:
    return ModerationFinding(
        category=fields["category"],
        score=fields["score"],
        blocked=fields["blocked"],
        span=Span(**fields["span"]) if fields["span"] else None,
        region=Region(**fields["region"]) if fields["region"] else None,
        characters=Characters(**fields["characters"]) if fields["characters"] else None,
    )
