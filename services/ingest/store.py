"""The media store: blobs under their hash, records of assets, both durable. Blocks throughout.

Layout below the root, all inside one tenant::

    tenants/<tenant>/media/<aa>/<sha256>         the bytes, once
    tenants/<tenant>/renditions/...              see rendition_store.py
    tenants/<tenant>/by-sha256/<sha256>.json     id of the asset that first had them
    tenants/<tenant>/by-time/<order>-<asset id>  one empty file for each asset, newest first
    tenants/<tenant>/assets/<asset id>.json      the record; an asset exists when this does
    tenants/<tenant>/indexed/<asset id>          an empty file, once the index holds all of it
    tenants/<tenant>/moderation/<asset id>.json  what moderation found in it, if anything

A commit writes them in this order, so a crash in between leaves nothing
visible, and the same commit tried again completes it. Reads go through obstore;
writes to a local folder add what its ``put`` leaves out, the fsync of the file
and of its folder, and take the spooled file in by a hard link.
"""

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from obstore.store import LocalStore

from services.ingest.durable import link_file, make_folder, write_file
from services.ingest.findings import findings_from_json, findings_to_json
from services.ingest.model import MediaInfo, Modality, ModerationFinding
from services.ingest.names import is_asset_id, is_sha256
from services.runtime.errors import AlreadyExists, InvalidInput, NotFound

_ORDER_DIGITS = 20
_ORDER_BASE = 10**_ORDER_DIGITS - 1


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
    duplicate_of: str = ""
    user_id: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    indexed: bool = False
    """Read from its mark, never from the record."""
    findings: tuple[ModerationFinding, ...] = ()
    """Read from a file of their own, never from the record."""


class MediaStore:
    """Committed assets of all tenants below one local folder. Thread-safe."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        make_folder(root)
        self._root = root
        self._objects = LocalStore(root)
        self._clock = clock
        self._commit_lock = threading.Lock()
        self._last_time_us = 0

    def commit(self, tenant: str, part: Path, draft: AssetRecord) -> AssetRecord:
        """Take a synced file in as an asset; durable when this returns.

        ``draft`` is the record without time and ``duplicate_of``. Committing
        the same bytes under the same id again returns the first record.

        Raises:
            AlreadyExists: ``ASSET_EXISTS`` when the id holds other bytes.
        """
        link_file(part, self.blob_path(tenant, draft.sha256))
        with self._commit_lock:
            existing = self.find(tenant, draft.asset_id)
            if existing is not None:
                require_same_bytes(existing, draft.sha256)
                return existing
            record = dataclasses.replace(
                draft,
                duplicate_of=self._claim(tenant, draft),
                create_time_us=self._next_time_us(),
            )
            write_file(self._root / _time_key(tenant, record), b"")
            write_file(
                self._root / _record_key(tenant, record.asset_id),
                json.dumps(_to_json(record)).encode(),
            )
            return record

    def _claim(self, tenant: str, draft: AssetRecord) -> str:
        """The asset that first had these bytes, or empty where this one now is the first."""
        first = self._first_with(tenant, draft.sha256)
        # A first whose commit was cut off by a crash has no record and does not count.
        if first is not None and first.asset_id != draft.asset_id:
            return first.asset_id
        claim = json.dumps({"asset_id": draft.asset_id}).encode()
        write_file(self._root / _hash_key(tenant, draft.sha256), claim)
        return ""

    def _next_time_us(self) -> int:
        self._last_time_us = max(self._last_time_us + 1, round(self._clock() * 1e6))
        return self._last_time_us

    def find(self, tenant: str, asset_id: str) -> AssetRecord | None:
        """An asset's record, None if there is none."""
        if not is_asset_id(asset_id):
            return None
        found = self._read(_record_key(tenant, asset_id))
        if found is None:
            return None
        record = _from_json(found)
        content_id = record.duplicate_of or asset_id
        mark = self._root / _mark_key(tenant, content_id)
        findings = self._root / _findings_key(tenant, content_id)
        return dataclasses.replace(
            record,
            indexed=mark.exists(),
            findings=findings_from_json(findings.read_bytes()) if findings.exists() else (),
        )

    def mark_indexed(self, tenant: str, asset_id: str) -> None:
        """Note, durably, that the index holds all of an asset. Raises as ``get``."""
        if not self.get(tenant, asset_id).indexed:
            write_file(self._root / _mark_key(tenant, asset_id), b"")

    def record_findings(
        self, tenant: str, asset_id: str, findings: Sequence[ModerationFinding]
    ) -> None:
        """Keep, durably, what moderation found in an asset, in place of what was kept before.
        Raises as ``get``."""
        self.get(tenant, asset_id)
        write_file(self._root / _findings_key(tenant, asset_id), findings_to_json(findings))

    def get(self, tenant: str, asset_id: str) -> AssetRecord:
        """An asset's record. Raises NotFound ``ASSET_NOT_FOUND``."""
        record = self.find(tenant, asset_id)
        if record is None:
            raise NotFound("ASSET_NOT_FOUND", "There is no such asset.", subject=asset_id)
        return record

    def find_by_sha256(self, tenant: str, hashes: Iterable[str]) -> list[AssetRecord]:
        """For each hash the asset that first had the bytes; unknown ones are left out."""
        found = (self._first_with(tenant, sha256) for sha256 in dict.fromkeys(hashes))
        return [record for record in found if record is not None]

    def list_newest(
        self, tenant: str, count: int, page_token: str = ""
    ) -> tuple[list[AssetRecord], str]:
        """A page of assets, newest first, and the token of the next page (empty on the last).

        Assets committed after the first page was read do not shift later pages.

        Raises:
            InvalidInput: ``PAGE_TOKEN_INVALID``.
        """
        if page_token and not page_token[:_ORDER_DIGITS].isdecimal():
            raise InvalidInput(
                "PAGE_TOKEN_INVALID", "Use the token of the page before.", subject="page_token"
            )
        names = sorted(name for name in self._names(tenant) if name > page_token)
        records: list[AssetRecord] = []
        for name in names:
            record = self.find(tenant, name[_ORDER_DIGITS + 1 :])
            # An entry of a commit that a crash cut off has no record, or one of another time.
            if record is None or not name.startswith(_order(record)):
                continue
            if len(records) == count:
                return records, _order(records[-1]) + "-" + records[-1].asset_id
            records.append(record)
        return records, ""

    def blob_path(self, tenant: str, sha256: str) -> Path:
        """Where the bytes of a committed asset lie."""
        return self._root / blob_key(tenant, sha256)

    def tenants(self) -> list[str]:
        """All that ever stored anything."""
        return sorted(path.name for path in (self._root / "tenants").glob("*"))

    def read(self, tenant: str, sha256: str, start: int, end: int) -> bytes:
        """The bytes of a committed asset from ``start`` to before ``end``; fewer where it has no
        more. Raises FileNotFoundError."""
        key = blob_key(tenant, sha256)
        return bytes(self._objects.get_range(key, start=start, end=end))

    def _first_with(self, tenant: str, sha256: str) -> AssetRecord | None:
        if not is_sha256(sha256):
            return None
        claim = self._read(_hash_key(tenant, sha256))
        record = self.find(tenant, claim["asset_id"]) if claim else None
        return record if record is not None and record.sha256 == sha256 else None

    def _names(self, tenant: str) -> Iterable[str]:
        for chunk in self._objects.list(f"tenants/{tenant}/by-time", chunk_size=1000):
            for entry in chunk:
                name = str(entry["path"]).rpartition("/")[2]
                if not name.startswith("."):  # a draft that a crash left
                    yield name

    def _read(self, key: str) -> dict[str, Any] | None:
        try:
            content = bytes(self._objects.get(key).bytes())
        except FileNotFoundError:
            return None
        loaded: dict[str, Any] = json.loads(content)
        return loaded


def require_same_bytes(record: AssetRecord, sha256: str) -> None:
    """Raise AlreadyExists ``ASSET_EXISTS`` when the asset holds other bytes than these."""
    if record.sha256 != sha256:
        raise AlreadyExists(
            "ASSET_EXISTS",
            "This asset id already holds other bytes; use a fresh id.",
            subject=record.asset_id,
        )


def blob_key(tenant: str, sha256: str) -> str:
    """Where the bytes of a committed asset lie."""
    return f"tenants/{tenant}/media/{sha256[:2]}/{sha256}"


def _record_key(tenant: str, asset_id: str) -> str:
    return f"tenants/{tenant}/assets/{asset_id}.json"


def _hash_key(tenant: str, sha256: str) -> str:
    return f"tenants/{tenant}/by-sha256/{sha256}.json"


def _time_key(tenant: str, record: AssetRecord) -> str:
    return f"tenants/{tenant}/by-time/{_order(record)}-{record.asset_id}"


def _mark_key(tenant: str, asset_id: str) -> str:
    return f"tenants/{tenant}/indexed/{asset_id}"


def _findings_key(tenant: str, asset_id: str) -> str:
    return f"tenants/{tenant}/moderation/{asset_id}.json"


def _order(record: AssetRecord) -> str:
    """Sorts the newest first."""
    return f"{_ORDER_BASE - record.create_time_us:0{_ORDER_DIGITS}d}"


def _to_json(record: AssetRecord) -> dict[str, Any]:
    fields = dataclasses.asdict(record)
    fields["info"]["modality"] = record.info.modality.value
    del fields["indexed"], fields["findings"]
    return fields


def _from_json(fields: dict[str, Any]) -> AssetRecord:
    info = {**fields["info"], "modality": Modality(fields["info"]["modality"])}
    return AssetRecord(**{**fields, "info": MediaInfo(**info), "tags": tuple(fields["tags"])})
