"""Assets for tests of the media store, and a store that dies."""

import hashlib
from pathlib import Path

from services.ingest.model import MediaInfo, Modality
from services.ingest.objects import LocalObjects
from services.ingest.records import AssetRecord
from services.ingest.store import MediaStore

CONTENT = bytes(range(256)) * 40


def draft(asset_id: str, content: bytes = CONTENT) -> AssetRecord:
    """The record of an asset that is about to be committed."""
    return AssetRecord(
        asset_id=asset_id,
        name=f"{asset_id}.txt",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        info=MediaInfo(Modality.TEXT, "text/plain"),
        create_time_us=0,
        tags=("x",),
    )


def commit(
    store: MediaStore, folder: Path, asset_id: str, content: bytes = CONTENT, tenant: str = "t"
) -> AssetRecord:
    """Commit bytes as an upload does: from a part, which is gone afterwards."""
    part = folder / f"part-{asset_id}"
    part.write_bytes(content)
    try:
        return store.commit(tenant, part, draft(asset_id, content))
    finally:
        part.unlink()


class Died(BaseException):
    """The process is killed here."""


class DyingObjects(LocalObjects):
    """A local store whose process is killed before the change after so many."""

    def __init__(self, root: Path, changes_left: int) -> None:
        super().__init__(root)
        self.changes_left = changes_left

    def _change(self) -> None:
        if self.changes_left == 0:
            raise Died
        self.changes_left -= 1

    def put(self, key: str, data: bytes, mime_type: str = "") -> None:
        """See Objects."""
        self._change()
        super().put(key, data, mime_type)

    def put_file(self, key: str, file: Path, mime_type: str = "") -> None:
        """See Objects."""
        if self.size_bytes(key) is None:
            self._change()
            super().put_file(key, file, mime_type)

    def delete(self, key: str) -> None:
        """See Objects."""
        if self.size_bytes(key) is not None:
            self._change()
            super().delete(key)
