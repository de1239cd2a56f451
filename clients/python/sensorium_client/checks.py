"""What a check of everything stored tells, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something wrong with what is stored. ``fault`` is as in the contract, in lower case."""

    fault: str
    asset_id: str
    message: str
    repaired: bool


@dataclass(frozen=True)
class CheckSummary:
    """What a check of everything stored came to."""

    asset_count: int
    document_count: int
    finding_count: int
    repaired_count: int
    unindexed_count: int
