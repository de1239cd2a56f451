"""Which asset of a tenant stands for bytes that several have, and whether any still has them.

The claim on a hash names one asset, the first that had the bytes; those that
came later have an entry each. Together they are the reference count of the
blob. The claim alone decides who is a duplicate of whom, so that whatever
happens at once, in whatever processes, all see the same: it changes by
compare-and-swap only. Before the last reference goes the claim is sealed:
nobody joins it until blob and claim are gone.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.ingest.objects import Objects
from services.ingest.records import AssetRecord, Keys

PATIENCE_S = 5.0
"""So long another process has to end what it began with a claim; then it counts as dead."""
_POLL_S = 0.05
_SEALED = ""

FindLiving = Callable[[Keys, str], AssetRecord | None]
"""The record of an asset that exists and is no tombstone."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Blocks. In one process one thread at a time may change claims."""

    objects: Objects
    find_living: FindLiving

    def holder(self, keys: Keys, sha256: str) -> str:
        """The asset that stands for the bytes; empty if none does."""
        held = self.objects.get(keys.claim(sha256))
        return _holder(held) if held else ""

    def join(self, keys: Keys, sha256: str, asset_id: str) -> str:
        """Have the bytes counted as an asset's too. Returns the one that stands for them.

        A claim of an asset that does not exist, since its commit was cut off or it is being
        deleted, is taken over. Doing it again is harmless.
        """
        deadline = time.monotonic() + (0.0 if self.objects.is_exclusive else PATIENCE_S)
        while True:
            held = self.objects.get(keys.claim(sha256))
            if held is None:
                if self.objects.create(keys.claim(sha256), _claim(asset_id)):
                    return asset_id
                continue
            holder = _holder(held)
            if holder == asset_id:
                return holder
            if holder and self._has(keys, holder, sha256):
                if self.objects.size_bytes(keys.duplicate(sha256, asset_id)) is None:
                    self.objects.put(keys.duplicate(sha256, asset_id), b"")
                return holder
            if time.monotonic() < deadline:
                time.sleep(_POLL_S)
            elif self.objects.replace(keys.claim(sha256), held, _claim(asset_id)):
                return asset_id

    def leave(self, keys: Keys, sha256: str, asset_id: str) -> str:
        """Stop an asset, no longer a living one, from standing for its bytes.

        Returns the one that was promoted, the oldest of those that live; empty where it did
        not stand for them or is the last.
        """
        held = self.objects.get(keys.claim(sha256))
        if held is None:
            return ""
        if (holder := _holder(held)) != asset_id:
            # Where a crash cut this off, the one that was promoted is still counted twice.
            if holder:
                self.objects.delete(keys.duplicate(sha256, holder))
            return ""
        return self._promote(keys, sha256, held)

    def _promote(self, keys: Keys, sha256: str, held: bytes) -> str:
        living = list(self.duplicates(keys, sha256))
        if not living:
            return ""
        oldest = min(living, key=lambda record: record.create_time_us).asset_id
        # If that fails, another process was first.
        if not self.objects.replace(keys.claim(sha256), held, _claim(oldest)):
            return ""
        self.objects.delete(keys.duplicate(sha256, oldest))
        return oldest

    def seal(self, keys: Keys, sha256: str) -> bool:
        """Whether no asset has the bytes; then nobody can join until ``drop``."""
        held = self.objects.get(keys.claim(sha256))
        if held is None:
            sealed = self.objects.create(keys.claim(sha256), _claim(_SEALED))
        elif (holder := _holder(held)) and self._has(keys, holder, sha256):
            sealed = False
        else:
            sealed = self.objects.replace(keys.claim(sha256), held, _claim(_SEALED))
        if not sealed:
            return False
        # One that came between the look and the seal waits in ``join`` and finds itself promoted.
        return not self._promote(keys, sha256, _claim(_SEALED))

    def drop(self, keys: Keys, sha256: str) -> None:
        """Remove a sealed claim."""
        self.objects.delete(keys.claim(sha256))

    def duplicates(self, keys: Keys, sha256: str) -> Iterator[AssetRecord]:
        """The living assets that have an entry for the bytes."""
        for info in self.objects.listed(keys.duplicates(sha256)):
            found_sha256, _, asset_id = info.name.partition("-")
            if found_sha256 == sha256 and (record := self._has(keys, asset_id, sha256)):
                yield record

    def _has(self, keys: Keys, asset_id: str, sha256: str) -> AssetRecord | None:
        record = self.find_living(keys, asset_id)
        return record if record is not None and record.sha256 == sha256 else None


def _claim(asset_id: str) -> bytes:
    return json.dumps({"asset_id": asset_id}).encode()


def _holder(claim: bytes) -> str:
    """Empty for a sealed claim, and for a damaged one, which is taken over in the same way."""
    try:
        return str(json.loads(claim)["asset_id"])
    except (ValueError, KeyError, TypeError):
        return _SEALED
