"""The media store: blobs under their hash, records of assets, both durable. Blocks throughout.

What is kept, all inside one tenant, is listed in ``records.Keys``. A commit
writes blob, claim, time entry and record in this order, so a crash in between
leaves nothing visible, and the same commit tried again completes it.

A deletion writes its intent, then makes a tombstone of the record: from then on
nobody sees the asset, and its id cannot be used. What hangs on it goes next,
the tombstone and the intent last, so a deletion that a crash cut off is found
and completed.
"""

import dataclasses
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from services.ingest.claims import Claims
from services.ingest.findings import Findings, findings_from_json, findings_to_json
from services.ingest.model import ModerationFinding
from services.ingest.names import is_asset_id, is_sha256
from services.ingest.objects import Objects
from services.ingest.records import (
    DERIVED_KINDS,
    FIRST_SPACE,
    NOTED_KINDS,
    ORDER_DIGITS,
    AssetRecord,
    Keys,
    from_json,
    order_of,
    require_same_bytes,
    to_json,
)
from services.runtime.errors import InternalFailure, InvalidInput, NotFound, OutOfOrder

log = logging.getLogger(__name__)


class MediaStore:
    """Committed assets of all tenants. Thread-safe. ``space`` is that of the vectors by which
    the index knows them: an asset that was indexed in another is not indexed."""

    def __init__(
        self,
        objects: Objects,
        space: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.objects = objects
        self.space = space
        self.lock = threading.Lock()
        """Held while the catalogue is changed."""
        self.claims = Claims(objects, self.find_living)
        self.incoming: Counter[tuple[str, str]] = Counter()
        """Tenant and hash of the bytes that are being committed now."""
        self._clock = clock
        self._last_time_us = 0

    def commit(self, tenant: str, part: Path, draft: AssetRecord) -> AssetRecord:
        """Take a synced file in as an asset; durable when this returns.

        ``draft`` is the record without its time. Committing the same bytes under
        the same id again returns the first record.

        Raises:
            AlreadyExists: ``ASSET_EXISTS`` when the id holds other bytes.
            OutOfOrder: ``ASSET_BEING_DELETED`` while an asset of this id is being deleted.
        """
        keys = Keys(tenant)
        with self.lock:
            self.incoming[tenant, draft.sha256] += 1
        try:
            # Outside the lock: of a remote store it takes as long as the file is large.
            self.objects.put_file(keys.blob(draft.sha256), part, draft.info.mime_type)
            return self._enter(keys, part, draft)
        finally:
            with self.lock:
                self.incoming[tenant, draft.sha256] -= 1
                self.incoming += Counter()  # drops what is at 0

    def _enter(self, keys: Keys, part: Path, draft: AssetRecord) -> AssetRecord:
        with self.lock:
            if existing := self.read_record(keys, draft.asset_id):
                _require_living(existing)
                require_same_bytes(existing, draft.sha256)
                return self._with_state(keys, existing)
            record = dataclasses.replace(draft, create_time_us=self._next_time_us())
            self._secure(keys, part, record)
            self.objects.put(keys.time(record), b"")
            if not self.objects.create(keys.record(record.asset_id), to_json(record)):
                return self._committed_elsewhere(keys, record)
            # Another process may have taken the claim, or the bytes, before it saw the record.
            duplicate_of = self._secure(keys, part, record)
            return self._with_state(keys, record, duplicate_of)

    def _secure(self, keys: Keys, part: Path, record: AssetRecord) -> str:
        """First the claim, then the bytes: so no deletion takes them. Returns whose they were."""
        holder = self.claims.join(keys, record.sha256, record.asset_id)
        self.objects.put_file(keys.blob(record.sha256), part, record.info.mime_type)
        return holder

    def _committed_elsewhere(self, keys: Keys, record: AssetRecord) -> AssetRecord:
        self.objects.delete(keys.time(record))
        first = self.get(keys.tenant, record.asset_id)
        require_same_bytes(first, record.sha256)
        return first

    def _next_time_us(self) -> int:
        self._last_time_us = max(self._last_time_us + 1, round(self._clock() * 1e6))
        return self._last_time_us

    # --- reading -------------------------------------------------------------------------

    def read_record(self, keys: Keys, asset_id: str) -> AssetRecord | None:
        """A record as it is stored, which may be a tombstone; None if there is none.

        Raises InternalFailure ``RECORD_DAMAGED``.
        """
        if not is_asset_id(asset_id):
            return None
        stored = self.objects.get(keys.record(asset_id))
        if stored is None:
            return None
        try:
            return from_json(stored)
        except (ValueError, KeyError, TypeError) as error:
            raise InternalFailure(
                "RECORD_DAMAGED",
                "The record of this asset cannot be read; `sensorium fsck` says more.",
                subject=asset_id,
            ) from error

    def find_living(self, keys: Keys, asset_id: str) -> AssetRecord | None:
        """A record as it is stored; None if there is none or it is a tombstone."""
        record = self.read_record(keys, asset_id)
        return None if record is None or record.deleted else record

    def find(self, tenant: str, asset_id: str) -> AssetRecord | None:
        """An asset's record with its state, None if there is none."""
        keys = Keys(tenant)
        record = self.find_living(keys, asset_id)
        return None if record is None else self._with_state(keys, record)

    def get(self, tenant: str, asset_id: str) -> AssetRecord:
        """An asset's record with its state. Raises NotFound ``ASSET_NOT_FOUND``."""
        record = self.find(tenant, asset_id)
        if record is None:
            raise NotFound("ASSET_NOT_FOUND", "There is no such asset.", subject=asset_id)
        return record

    def _with_state(
        self, keys: Keys, record: AssetRecord, holder: str | None = None
    ) -> AssetRecord:
        if holder is None:
            holder = self.claims.holder(keys, record.sha256)
        content_id = holder or record.asset_id
        document_count = self._document_count(self.objects.get(keys.mark(content_id)))
        findings, scores = _readable_findings(self.objects.get(keys.findings(content_id)))
        return dataclasses.replace(
            record,
            duplicate_of="" if holder == record.asset_id else holder,
            indexed=document_count is not None,
            document_count=document_count or 0,
            findings=findings,
            scores=scores,
        )

    def find_by_sha256(self, tenant: str, hashes: Iterable[str]) -> list[AssetRecord]:
        """For each hash the asset that first had the bytes; unknown ones are left out."""
        keys = Keys(tenant)
        found = []
        for sha256 in filter(is_sha256, dict.fromkeys(hashes)):
            holder = self.claims.holder(keys, sha256)
            record = self.find(tenant, holder) if holder else None
            if record is not None and record.sha256 == sha256:
                found.append(record)
        return found

    def list_newest(
        self, tenant: str, count: int, page_token: str = "", before_us: int | None = None
    ) -> tuple[list[AssetRecord], str]:
        """A page of assets, newest first, and the token of the next page (empty on the last).

        ``before_us`` leaves out what was committed then or later (Unix time in
        microseconds). Assets committed after the first page was read do not shift
        later pages.

        Raises:
            InvalidInput: ``PAGE_TOKEN_INVALID``.
        """
        if page_token and not page_token[:ORDER_DIGITS].isdecimal():
            raise InvalidInput(
                "PAGE_TOKEN_INVALID", "Use the token of the page before.", subject="page_token"
            )
        after = page_token
        if before_us is not None:
            # "~" comes after every character of an id.
            after = max(after, order_of(before_us) + "-~")
        keys = Keys(tenant)
        folder = keys.folder("by-time")
        names = (i.name for i in self.objects.listed(folder, f"{folder}/{after}" if after else ""))
        records: list[AssetRecord] = []
        for name, record in self._listed(tenant, names):
            # An entry of a commit that a crash cut off has no record, or one of another time.
            if record is None or not name.startswith(order_of(record.create_time_us)):
                continue
            if len(records) == count:
                return records, _page_token(records[-1])
            records.append(record)
        return records, ""

    def page_token_after(self, tenant: str, asset_id: str) -> str:
        """The token of the page that begins after an asset. Raises as ``get``."""
        return _page_token(self.get(tenant, asset_id))

    def _listed(
        self, tenant: str, names: Iterator[str]
    ) -> Iterator[tuple[str, AssetRecord | None]]:
        def read(name: str) -> tuple[str, AssetRecord | None]:
            try:
                return name, self.find(tenant, name[ORDER_DIGITS + 1 :])
            except InternalFailure as error:
                log.warning("left out of a listing: %s", error)
                return name, None

        if self.objects.parallel_reads == 1:
            yield from map(read, names)
            return
        batch_count = 4 * self.objects.parallel_reads
        with ThreadPoolExecutor(self.objects.parallel_reads, "ingest-list") as pool:
            while batch := [name for name, _ in zip(names, range(batch_count), strict=False)]:
                yield from pool.map(read, batch)

    def tenants(self) -> list[str]:
        """All that ever stored anything."""
        return self.objects.folders("tenants")

    def blob_file(self, tenant: str, sha256: str) -> AbstractContextManager[Path]:
        """The bytes of a committed asset as a local file, while the block lasts.

        Raises FileNotFoundError when they were deleted meanwhile.
        """
        return self.objects.as_file(Keys(tenant).blob(sha256))

    def read(self, tenant: str, sha256: str, start: int, end: int) -> bytes:
        """The bytes of a committed asset from ``start`` to before ``end``; fewer where it has no
        more. Raises FileNotFoundError."""
        return self.objects.get_range(Keys(tenant).blob(sha256), start, end)

    # --- what is noted later ---------------------------------------------------------------

    def mark_indexed(
        self,
        tenant: str,
        asset_id: str,
        sha256: str = "",
        document_count: int = 0,
        space: str = "",
    ) -> None:
        """Note, durably, that the index holds all of an asset, in so many documents of ``space``
        or else of the store's.

        With ``sha256`` only of one with these bytes. Raises as ``get``.
        """
        keys = Keys(tenant)
        with self.lock:
            record = self.get(tenant, asset_id)
            if sha256 and record.sha256 != sha256:
                raise NotFound("ASSET_NOT_FOUND", "There is no such asset.", subject=asset_id)
            mark = {"document_count": document_count, "space": space or self.space}
            self.objects.put(keys.mark(asset_id), json.dumps(mark).encode())

    def _document_count(self, mark: bytes | None) -> int | None:
        """What a mark says, 0 where it says nothing, as the first ones did. None without one of
        this space; a damaged one is as none, so that the asset is indexed again."""
        if mark is None:
            return None
        try:
            told = json.loads(mark) if mark else {"document_count": 0}
            of_this_space = told.get("space", FIRST_SPACE) == self.space
            return int(told["document_count"]) if of_this_space else None
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def unmark_indexed(self, tenant: str, asset_id: str) -> None:
        """Have an asset indexed again. Raises as ``get``."""
        with self.lock:
            self.get(tenant, asset_id)
            self.objects.delete(Keys(tenant).mark(asset_id))

    def record_findings(
        self,
        tenant: str,
        asset_id: str,
        findings: Sequence[ModerationFinding],
        scores: Sequence[ModerationFinding] = (),
    ) -> None:
        """Keep, durably, what moderation found in an asset, in place of what was kept before, and
        its scores, each in place of that of its category. Raises as ``get``."""
        with self.lock:
            known = {each.category: each for each in self.get(tenant, asset_id).scores}
            known |= {each.category: each for each in scores}
            kept = findings_to_json(findings, [known[category] for category in sorted(known)])
            self.objects.put(Keys(tenant).findings(asset_id), kept)

    # --- deletion ----------------------------------------------------------------------------

    def bury(self, tenant: str, asset_id: str) -> str:
        """Make an asset invisible, durably; its id can be used again after ``purge``.

        Returns the asset that was promoted to stand for its bytes, empty if none was. Doing
        it again is harmless until then.

        Raises:
            NotFound: ``ASSET_NOT_FOUND``.
        """
        keys = Keys(tenant)
        with self.lock:
            record = self.read_record(keys, asset_id)
            if record is None:
                if asset_id not in self.buried(tenant):
                    raise NotFound("ASSET_NOT_FOUND", "There is no such asset.", subject=asset_id)
                return ""
            if not record.deleted:
                self.objects.put(keys.deletion(asset_id), b"")
                tombstone = dataclasses.replace(record, deleted=True)
                self.objects.put(keys.record(asset_id), to_json(tombstone))
            return self.claims.leave(keys, record.sha256, asset_id)

    def purge(self, tenant: str, asset_id: str) -> None:
        """Remove all of a buried asset, and its bytes with the last that has them.

        Doing it again is harmless; of a living asset nothing is touched.
        """
        keys = Keys(tenant)
        with self.lock:
            record = self.read_record(keys, asset_id)
            if record is not None and record.deleted:
                self.objects.delete(keys.duplicate(record.sha256, asset_id))
                self.remove_unclaimed(keys, record.sha256)
                for kind in NOTED_KINDS:
                    self.objects.delete(keys.noted(kind, asset_id))
                self.objects.delete(keys.time(record))
                self.objects.delete(keys.record(asset_id))
            if is_asset_id(asset_id):
                self.objects.delete(keys.deletion(asset_id))

    def remove_unclaimed(self, keys: Keys, sha256: str) -> bool:
        """Remove bytes, and what was made from them, unless an asset has them; tells whether.

        The caller holds the lock.
        """
        if not self.claims.seal(keys, sha256):
            return False
        for kind in DERIVED_KINDS:
            self.objects.delete_folder(keys.derived(kind, sha256))
        self.objects.delete(keys.blob(sha256))
        self.claims.drop(keys, sha256)
        return True

    def buried(self, tenant: str) -> list[str]:
        """The ids of assets whose deletion is not done."""
        return [info.name for info in self.objects.listed(Keys(tenant).folder("deleted"))]


def _require_living(record: AssetRecord) -> None:
    if record.deleted:
        raise OutOfOrder(
            "ASSET_BEING_DELETED",
            "An asset of this id is being deleted; try again.",
            subject=record.asset_id,
            retry_after_s=1.0,
        )


def _readable_findings(stored: bytes | None) -> tuple[Findings, Findings]:
    """What moderation found, and its scores. Damaged ones are as none: it is judged anew."""
    try:
        return findings_from_json(stored) if stored else ((), ())
    except (ValueError, KeyError, TypeError):
        log.warning("what moderation found in an asset cannot be read")
        return (), ()


def _page_token(last: AssetRecord) -> str:
    return f"{order_of(last.create_time_us)}-{last.asset_id}"
