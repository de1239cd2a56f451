"""Whether catalogue and bytes of a tenant agree, and making them agree again.

It runs beside everything else: what a look at the listings makes suspicious is
looked at again, alone, under the store's lock, before it is told or mended.
"""

import contextlib
import dataclasses
import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial

from services.ingest.names import is_sha256
from services.ingest.objects import LocalObjects, ObjectInfo
from services.ingest.records import (
    DERIVED_KINDS,
    NOTED_KINDS,
    ORDER_DIGITS,
    AssetRecord,
    Keys,
)
from services.ingest.store import MediaStore
from services.runtime.errors import InternalFailure

log = logging.getLogger(__name__)

GRACE_S = 3600.0
"""What belongs to nothing may be part of something that others are doing; after so long not."""
_BLOCK_BYTES = 8 << 20


class Fault(Enum):
    """What can be wrong. The first three mean that something is lost."""

    RECORD_DAMAGED = "record_damaged"
    BYTES_MISSING = "bytes_missing"
    BYTES_DAMAGED = "bytes_damaged"
    CLAIM_WRONG = "claim_wrong"
    ENTRY_MISSING = "entry_missing"
    ORPHAN = "orphan"
    DELETION_UNFINISHED = "deletion_unfinished"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with an asset, or with what belongs to none (``asset_id`` empty)."""

    fault: Fault
    asset_id: str
    message: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class _Suspect:
    """Something that looked wrong, how to look again, and how to mend it."""

    finding: Finding
    is_wrong: Callable[[], bool]
    mend: Callable[[], object] | None = None


@dataclass(slots=True)
class _Inventory:
    """What the listings say of a tenant: living records by id, names of all else."""

    living: dict[str, AssetRecord] = field(default_factory=dict)
    buried: set[str] = field(default_factory=set)
    damaged: list[str] = field(default_factory=list)
    blobs: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Auditor:
    """Checks the store. Blocks; runs in a thread of its own."""

    store: MediaStore
    clock: Callable[[], float] = time.time

    def check(self, tenant: str, *, deep: bool, repair: bool) -> Iterator[Finding]:
        """All that is wrong, with ``deep`` also bytes that do not have their hash any more.

        With ``repair`` what the catalogue can tell again is made again and what belongs to
        nothing is removed. What is lost stays as it is, for the caller to delete.
        """
        keys = Keys(tenant)
        inventory = self._inventory(keys)
        # First: no deletion goes on while a record that may share the bytes cannot be read.
        yield from self._confirmed(self._damaged(keys, inventory), repair)
        for asset_id in sorted(inventory.buried.union(self.store.buried(tenant))):
            yield Finding(Fault.DELETION_UNFINISHED, asset_id, "its deletion was cut off")
        yield from self._confirmed(self._catalogue(keys, inventory), repair)
        if deep:
            yield from self._hashes(keys, inventory)
        yield from self.orphans(tenant, repair=repair)

    def collect_orphans(self) -> None:
        """Remove, of all tenants, what belongs to nothing; at any time."""
        for tenant in self.store.tenants():
            for finding in self.orphans(tenant, repair=True):
                log.info("removed an orphan of %s: %s", tenant, finding.message)

    def orphans(self, tenant: str, *, repair: bool) -> Iterator[Finding]:
        """What belongs to no asset and to no commit, upload or deletion in progress."""
        keys = Keys(tenant)
        yield from self._confirmed(self._orphans(keys, self._inventory(keys)), repair)

    def _confirmed(self, suspects: Iterator[_Suspect], repair: bool) -> Iterator[Finding]:
        for suspect in suspects:
            finding = suspect.finding
            mend = suspect.mend if repair else None
            with self.store.lock:
                if not self._is_wrong(suspect):
                    continue
                if mend is not None:
                    mend()
            yield dataclasses.replace(finding, repaired=mend is not None)

    def _is_wrong(self, suspect: _Suspect) -> bool:
        try:
            return suspect.is_wrong()
        except InternalFailure:
            # It hangs on a damaged record, which is told and mended first.
            return False

    def _inventory(self, keys: Keys) -> _Inventory:
        found = _Inventory()
        for info in self._list(keys, "media"):
            found.blobs[info.name] = info.size_bytes
        for info in self._list(keys, "assets"):
            asset_id = info.name.removesuffix(".json")
            try:
                record = self.store.read_record(keys, asset_id)
            except InternalFailure:
                found.damaged.append(asset_id)
                continue
            if record is not None and record.deleted:
                found.buried.add(asset_id)
            elif record is not None:
                found.living[asset_id] = record
        return found

    # --- what every asset must have --------------------------------------------------------

    def _damaged(self, keys: Keys, inventory: _Inventory) -> Iterator[_Suspect]:
        for asset_id in inventory.damaged:
            yield _Suspect(
                Finding(Fault.RECORD_DAMAGED, asset_id, "its record cannot be read"),
                partial(self._is_damaged, keys, asset_id),
                partial(self.store.objects.delete, keys.record(asset_id)),
            )

    def _catalogue(self, keys: Keys, inventory: _Inventory) -> Iterator[_Suspect]:
        timed = {info.name for info in self._list(keys, "by-time")}
        for record in inventory.living.values():
            yield from self._of_bytes(keys, record, inventory.blobs.get(record.sha256))
            holder = self.store.claims.holder(keys, record.sha256)
            standing = inventory.living.get(holder)
            if standing is None or standing.sha256 != record.sha256:
                yield _Suspect(
                    Finding(Fault.CLAIM_WRONG, record.asset_id, "nobody stands for its bytes"),
                    partial(self._has_no_holder, keys, record),
                    partial(self._claim_anew, keys, record.sha256),
                )
            elif holder != record.asset_id:
                entry = keys.duplicate(record.sha256, record.asset_id)
                yield from self._entry(keys, record, entry, "it is not counted as a duplicate")
            if keys.time(record).rpartition("/")[2] not in timed:
                yield from self._entry(keys, record, keys.time(record), "it is not listed")

    def _of_bytes(
        self, keys: Keys, record: AssetRecord, size_bytes: int | None
    ) -> Iterator[_Suspect]:
        if size_bytes == record.size_bytes:
            return
        fault = Fault.BYTES_MISSING if size_bytes is None else Fault.BYTES_DAMAGED
        message = "its bytes are gone" if size_bytes is None else "some of its bytes are gone"
        yield _Suspect(
            Finding(fault, record.asset_id, f"{message}: {record.name}"),
            lambda: (
                self._lives(keys, record)
                and self.store.objects.size_bytes(keys.blob(record.sha256)) != record.size_bytes
            ),
        )

    def _entry(self, keys: Keys, record: AssetRecord, key: str, message: str) -> Iterator[_Suspect]:
        def is_missing() -> bool:
            return self._lives(keys, record) and self.store.objects.size_bytes(key) is None

        if is_missing():
            finding = Finding(Fault.ENTRY_MISSING, record.asset_id, message)
            yield _Suspect(finding, is_missing, partial(self.store.objects.put, key, b""))

    def _is_damaged(self, keys: Keys, asset_id: str) -> bool:
        try:
            self.store.read_record(keys, asset_id)
        except InternalFailure:
            return True
        return False

    def _lives(self, keys: Keys, record: AssetRecord) -> bool:
        return self.store.find_living(keys, record.asset_id) == record

    def _has_no_holder(self, keys: Keys, record: AssetRecord) -> bool:
        holder = self.store.claims.holder(keys, record.sha256)
        standing = self.store.find_living(keys, holder)
        return self._lives(keys, record) and (standing is None or standing.sha256 != record.sha256)

    def _claim_anew(self, keys: Keys, sha256: str) -> None:
        """The oldest stands for the bytes again, the others are counted."""
        assets = self._inventory(keys).living.values()
        having = [record for record in assets if record.sha256 == sha256]
        for record in sorted(having, key=lambda record: record.create_time_us):
            self.store.claims.join(keys, sha256, record.asset_id)

    def _hashes(self, keys: Keys, inventory: _Inventory) -> Iterator[Finding]:
        checked: dict[str, bool] = {}
        for record in inventory.living.values():
            sha256, size_bytes = record.sha256, inventory.blobs.get(record.sha256)
            if size_bytes != record.size_bytes:
                continue
            if sha256 not in checked:
                checked[sha256] = self._hash(keys.blob(sha256), size_bytes) == sha256
            if not checked[sha256] and self._lives(keys, record):
                message = f"its bytes are not those that were sent: {record.name}"
                yield Finding(Fault.BYTES_DAMAGED, record.asset_id, message)

    def _hash(self, key: str, size_bytes: int) -> str:
        digest = hashlib.sha256()
        with contextlib.suppress(FileNotFoundError):
            for offset in range(0, size_bytes, _BLOCK_BYTES):
                length = min(_BLOCK_BYTES, size_bytes - offset)
                digest.update(self.store.objects.get_range(key, offset, offset + length))
        return digest.hexdigest()

    # --- what belongs to nothing ---------------------------------------------------------------

    def _orphans(self, keys: Keys, inventory: _Inventory) -> Iterator[_Suspect]:
        living = inventory.living
        wanted = {record.sha256 for record in living.values()}
        for kind in ("media", "by-sha256", *DERIVED_KINDS):
            for info in self._list(keys, kind):
                sha256 = _sha256_in(info.key)
                if sha256 not in wanted:
                    yield self._orphan(
                        info,
                        f"{kind}: the bytes {sha256[:12]} are of no asset",
                        partial(self._is_unwanted, keys, sha256, info),
                        partial(self._remove_bytes, keys, sha256, info),
                    )
        for info in self._list(keys, "by-time"):
            asset_id = info.name[ORDER_DIGITS + 1 :]
            record = living.get(asset_id)
            if record is None or keys.time(record) != info.key:
                yield self._orphan(
                    info, f"by-time: an entry of {asset_id}", partial(self._is_untimely, keys, info)
                )
        for info in self._list(keys, "duplicates"):
            sha256, _, asset_id = info.name.partition("-")
            record = living.get(asset_id)
            if record is None or self.store.claims.holder(keys, sha256) == asset_id:
                yield self._orphan(
                    info,
                    f"duplicates: an entry of {asset_id}",
                    partial(self._is_uncounted, keys, sha256, asset_id),
                )
        for kind in NOTED_KINDS:
            for info in self._list(keys, kind):
                if info.name not in living:
                    yield self._orphan(
                        info,
                        f"{kind}: what is noted of {info.name}",
                        partial(self._has_no_record, keys, info.name),
                    )
        if isinstance(self.store.objects, LocalObjects):
            for info in self.store.objects.drafts(keys.folder("")):
                message = "a file that was not written to its end"
                yield self._orphan(info, message, partial(self._is_old, info))

    def _orphan(
        self,
        info: ObjectInfo,
        message: str,
        is_wrong: Callable[[], bool],
        mend: Callable[[], object] | None = None,
    ) -> _Suspect:
        objects = self.store.objects
        return _Suspect(
            Finding(Fault.ORPHAN, "", message),
            lambda: (objects.is_exclusive or self._is_old(info)) and is_wrong(),
            mend or partial(objects.delete, info.key),
        )

    def _is_old(self, info: ObjectInfo) -> bool:
        return info.modified_s + GRACE_S <= self.clock()

    def _is_unwanted(self, keys: Keys, sha256: str, info: ObjectInfo) -> bool:
        holder = self.store.claims.holder(keys, sha256)
        standing = self.store.read_record(keys, holder)  # one being deleted goes with its deletion
        return (
            not self.store.incoming[keys.tenant, sha256]
            and (standing is None or standing.sha256 != sha256)
            and not any(self.store.claims.duplicates(keys, sha256))
            and self.store.objects.size_bytes(info.key) is not None
        )

    def _remove_bytes(self, keys: Keys, sha256: str, info: ObjectInfo) -> None:
        if self.store.remove_unclaimed(keys, sha256):
            self.store.objects.delete(info.key)

    def _is_untimely(self, keys: Keys, info: ObjectInfo) -> bool:
        record = self.store.read_record(keys, info.name[ORDER_DIGITS + 1 :])
        return record is None or keys.time(record) != info.key

    def _is_uncounted(self, keys: Keys, sha256: str, asset_id: str) -> bool:
        record = self.store.read_record(keys, asset_id)
        holder = self.store.claims.holder(keys, sha256)
        return record is None or record.sha256 != sha256 or holder == asset_id

    def _has_no_record(self, keys: Keys, asset_id: str) -> bool:
        return self.store.read_record(keys, asset_id) is None

    def _list(self, keys: Keys, kind: str) -> Iterator[ObjectInfo]:
        return self.store.objects.listed(keys.folder(kind))


def _sha256_in(key: str) -> str:
    """The hash that a key is of."""
    return next(filter(is_sha256, re.split("[/.]", key)), "")
