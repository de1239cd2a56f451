"""The record of an asset, and the keys under which the store keeps what belongs to it."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.ingest.model import MediaInfo, Modality, ModerationFinding
from services.runtime.errors import AlreadyExists

ORDER_DIGITS = 20
_ORDER_BASE = 10**ORDER_DIGITS - 1
DERIVED_KINDS = ("renditions",)
"""What is made from the bytes of assets, each a folder of ``<aa>/<sha256>/``: goes with them."""
NOTED_KINDS = ("indexed", "moderation")
"""What is noted of an asset, each a folder of ``<asset id>``: goes with it."""


FIRST_SPACE = "minilm-l6-v2"
"""Of vectors: marks did not name theirs while there was no other."""


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """A committed asset."""

    asset_id: str
    name: str
    sha256: str
    size_bytes: int
    info: MediaInfo
    create_time_us: int
    """Unix time in microseconds."""
    user_id: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    deleted: bool = False
    """A tombstone: the asset is gone, and what it left is being removed."""
    duplicate_of: str = ""
    """Read from the claim on its bytes, never from the record."""
    indexed: bool = False
    """Read from its mark, as is ``document_count``: how many documents of it the index holds."""
    document_count: int = 0
    findings: tuple[ModerationFinding, ...] = ()
    """What moderation found; kept beside the record, never in it, as are ``scores``: the highest
    in each category in which all of it was judged."""
    scores: tuple[ModerationFinding, ...] = ()


_READ_ELSEWHERE = ("duplicate_of", "indexed", "document_count", "findings", "scores")


def to_json(record: AssetRecord) -> bytes:
    """The record as it is stored."""
    fields = dataclasses.asdict(record)
    fields["info"]["modality"] = record.info.modality.value
    for name in _READ_ELSEWHERE:
        del fields[name]
    return json.dumps(fields).encode()


def from_json(data: bytes) -> AssetRecord:
    """A record as it was stored. Raises ValueError, KeyError or TypeError for a damaged one."""
    fields: dict[str, Any] = json.loads(data)
    for name in _READ_ELSEWHERE:
        fields.pop(name, None)
    info = {**fields["info"], "modality": Modality(fields["info"]["modality"])}
    return AssetRecord(**{**fields, "info": MediaInfo(**info), "tags": tuple(fields["tags"])})


def require_same_bytes(record: AssetRecord, sha256: str) -> None:
    """Raise AlreadyExists ``ASSET_EXISTS`` when the asset holds other bytes than these."""
    if record.sha256 != sha256:
        raise AlreadyExists(
            "ASSET_EXISTS",
            "This asset id already holds other bytes; use a fresh id.",
            subject=record.asset_id,
        )


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one tenant: nothing is ever kept outside its folder."""

    tenant: str

    def folder(self, kind: str) -> str:
        """The folder of a kind of objects."""
        return f"tenants/{self.tenant}/{kind}"

    def record(self, asset_id: str) -> str:
        """The record: an asset exists when this does and is no tombstone."""
        return f"{self.folder('assets')}/{asset_id}.json"

    def blob(self, sha256: str) -> str:
        """The bytes, once."""
        return self._sharded("media", sha256)

    def claim(self, sha256: str) -> str:
        """Names the asset that stands for these bytes, the first that had them."""
        return f"{self.folder('by-sha256')}/{sha256}.json"

    def duplicates(self, sha256: str) -> str:
        """The folder of the entries of a hash, among those of others."""
        return f"{self.folder('duplicates')}/{sha256[:2]}"

    def duplicate(self, sha256: str, asset_id: str) -> str:
        """An empty object for each asset that came after the one of the claim."""
        return f"{self.duplicates(sha256)}/{sha256}-{asset_id}"

    def time(self, record: AssetRecord) -> str:
        """An empty object for each asset; their order is newest first."""
        return f"{self.folder('by-time')}/{order_of(record.create_time_us)}-{record.asset_id}"

    def noted(self, kind: str, asset_id: str) -> str:
        """What is noted of an asset."""
        return f"{self.folder(kind)}/{asset_id}"

    def mark(self, asset_id: str) -> str:
        """There once the index holds all of an asset; says how many documents."""
        return self.noted("indexed", asset_id)

    def findings(self, asset_id: str) -> str:
        """What moderation found in an asset, if anything."""
        return self.noted("moderation", asset_id)

    def deletion(self, asset_id: str) -> str:
        """There while an asset is being deleted, first to come and last to go."""
        return f"{self.folder('deleted')}/{asset_id}"

    def derived(self, kind: str, sha256: str) -> str:
        """The folder of what is made from the bytes."""
        return self._sharded(kind, sha256)

    def rendition(self, sha256: str, name: str) -> str:
        """One thing that is made from the bytes."""
        return f"{self.derived('renditions', sha256)}/{name}"

    def _sharded(self, kind: str, sha256: str) -> str:
        return f"{self.folder(kind)}/{sha256[:2]}/{sha256}"


def order_of(create_time_us: int) -> str:
    """Sorts the newest first."""
    return f"{_ORDER_BASE - create_time_us:0{ORDER_DIGITS}d}"
