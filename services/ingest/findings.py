"""What moderation found in an asset, as it is kept on disk."""

import dataclasses
import json
from collections.abc import Sequence

from services.ingest.model import Characters, ModerationFinding, Region, Span


def findings_to_json(findings: Sequence[ModerationFinding]) -> bytes:
    """Findings as a JSON list."""
    return json.dumps([dataclasses.asdict(found) for found in findings]).encode()


def findings_from_json(content: bytes) -> tuple[ModerationFinding, ...]:
    """The findings of such a list. Raises ValueError, KeyError or TypeError for a damaged one."""
    return tuple(
        ModerationFinding(
            category=fields["category"],
            score=fields["score"],
            blocked=fields["blocked"],
            span=Span(**fields["span"]) if fields["span"] else None,
            region=Region(**fields["region"]) if fields["region"] else None,
            characters=Characters(**fields["characters"]) if fields["characters"] else None,
        )
        for fields in json.loads(content)
    )
