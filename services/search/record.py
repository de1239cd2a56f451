"""What is indexed: one document, as the database knows it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_METADATA_KEY = re.compile(r"[a-z0-9_.-]{1,64}")

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time from the start of the asset, in milliseconds."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle in the pixels of the upright picture."""

    left_px: int
    top_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Chars:
    """A range of characters, the end excluded."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A document of a tenant. ``modality``, ``segment_kind`` and ``origin`` are
    the lower-case names of the contract's enums without their prefix;
    ``create_time_us`` counts from the epoch; ``perceptual_hash`` has 64 bits;
    ``vector`` is float32 [dimension], of unit length."""

    tenant_id: str
    document_id: str
    segment_id: str
    asset_id: str
    asset_name: str
    asset_sha256: str
    user_id: str
    modality: str
    segment_kind: str
    origin: str
    text: str
    confidence: float
    span: Span | None
    region: Region | None
    chars: Chars | None
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    create_time_us: int | None
    perceptual_hash: int | None
    vector: Vector

    @property
    def key(self) -> str:
        """Unique over all tenants: a tenant's name holds no colon."""
        return f"{self.tenant_id}:{self.document_id}"

    @property
    def order(self) -> tuple[int, int, int, int, int, str, str, int]:
        """Sorts the documents of one asset: by time, by characters, by place;
        then by segment, and by number within it."""
        stem = self.document_id.rstrip("0123456789")
        number = self.document_id[len(stem) :]
        return (
            self.span.start_ms if self.span else 0,
            self.span.end_ms if self.span else 0,
            self.chars.start if self.chars else 0,
            self.region.top_px if self.region else 0,
            self.region.left_px if self.region else 0,
            self.segment_id,
            stem,
            int(number) if number and len(number) < 19 else -1,
        )


def is_metadata_key(text: str) -> bool:
    """Whether it is 1 to 64 small letters, digits, ``_``, ``.`` and ``-``."""
    return _METADATA_KEY.fullmatch(text) is not None
