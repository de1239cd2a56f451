"""Objects under keys, durable once a call returns: in a local folder, in memory or in S3.

Everything here blocks. Keys are made of names that were checked (``names.py``).
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import LocalStore, S3Store, from_url

from services.ingest.durable import (
    link_file,
    make_folder,
    remove_file,
    remove_folder,
    write_file,
)
from services.ingest.fetched import FetchedFiles
from services.runtime.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from obstore.store import RetryConfig

PAGE_COUNT = 1000
_RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as it is listed. ``modified_s`` is Unix time."""

    key: str
    size_bytes: int
    modified_s: float

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]


class Objects:
    """A store of obstore, shared with other processes.

    Every method raises Unavailable ``MEDIA_STORE_UNAVAILABLE`` where the store does not answer.
    """

    is_exclusive: ClassVar[bool] = False
    """Whether no other process writes here."""
    parallel_reads: ClassVar[int] = 16
    """Reads that are worth doing at once: each waits for the network."""

    def __init__(self, store: Any, fetched: FetchedFiles) -> None:
        self._store = store
        self._fetched = fetched

    @property
    def has_urls(self) -> bool:
        """Whether objects have URLs of their own."""
        return isinstance(self._store, S3Store)

    def check(self) -> None:
        """Raises Unavailable ``MEDIA_STORE_UNAVAILABLE``, naming the setting, where it is not
        there to be used."""
        try:
            next(iter(self._store.list(None, chunk_size=1)), None)
        except (BaseError, OSError) as error:
            missing = "NoSuchBucket" in str(error)
            raise Unavailable(
                "MEDIA_STORE_UNAVAILABLE",
                "The bucket of SENSORIUM_MEDIA_URL does not exist: make it first."
                if missing
                else "The store of SENSORIUM_MEDIA_URL cannot be used: check the address and "
                "the AWS_* variables.",
                subject="SENSORIUM_MEDIA_URL",
            ) from error

    def put(self, key: str, data: bytes, mime_type: str = "") -> None:
        """Writes or replaces an object: it is the old one or the new one, never half.

        Who fetches it by a URL is told ``mime_type``.
        """
        with _answering():
            self._store.put(key, data, attributes=_attributes(mime_type))

    def create(self, key: str, data: bytes) -> bool:
        """Writes an object where there is none. Of several at once one returns True."""
        with _answering():
            try:
                self._store.put(key, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

    def replace(self, key: str, old: bytes, new: bytes) -> bool:
        """Replaces an object that still holds ``old``. Of several at once one returns True."""
        with _answering():
            try:
                found = self._store.get(key)
                if bytes(found.bytes()) != old:
                    return False
                self._store.put(key, new, mode={"e_tag": found.meta["e_tag"]})
            except (FileNotFoundError, PreconditionError):
                return False
            return True

    def put_file(self, key: str, file: Path, mime_type: str = "") -> None:
        """Takes a synced file in, whose bytes the key stands for: one that is there is kept.

        ``mime_type`` is as in ``put``.
        """
        if self.size_bytes(key) != file.stat().st_size:
            with _answering():
                self._store.put(key, file, attributes=_attributes(mime_type))

    def get(self, key: str) -> bytes | None:
        """All of an object; None if there is none."""
        with _answering():
            try:
                return bytes(self._store.get(key).bytes())
            except FileNotFoundError:
                return None

    def get_range(self, key: str, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``; fewer where there are no more. Raises
        FileNotFoundError if there is no such object."""
        with _answering():
            return bytes(self._store.get_range(key, start=start, end=end))

    def size_bytes(self, key: str) -> int | None:
        """How large an object is; None if there is none."""
        with _answering():
            try:
                return int(self._store.head(key)["size"])
            except FileNotFoundError:
                return None

    def listed(self, folder: str, after: str = "") -> Iterator[ObjectInfo]:
        """What lies below a folder, in the order of keys, from behind the key ``after`` on."""
        with _answering():
            for chunk in self._store.list(folder, offset=after or None, chunk_size=PAGE_COUNT):
                for meta in chunk:
                    yield ObjectInfo(meta["path"], meta["size"], meta["last_modified"].timestamp())

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder, sorted."""
        with _answering():
            found = self._store.list_with_delimiter(folder)["common_prefixes"]
        return sorted(str(prefix).rstrip("/").rpartition("/")[2] for prefix in found)

    def delete(self, key: str) -> None:
        """Removes an object for good; nothing where there is none."""
        self._fetched.forget(key)
        # A memory store tells of one that is not there, S3 does not.
        with _answering(), contextlib.suppress(FileNotFoundError):
            self._store.delete(key)

    def delete_folder(self, folder: str) -> None:
        """Removes all that lies below a folder, for good."""
        for info in list(self.listed(folder)):
            self.delete(info.key)

    def sign(self, key: str, ttl_s: float) -> str:
        """A URL for GET that works for so long. Only where ``has_urls``."""
        with _answering():
            return str(obstore.sign(self._store, "GET", key, timedelta(seconds=ttl_s)))

    @contextlib.contextmanager
    def as_file(self, key: str) -> Iterator[Path]:
        """An object as a local file, while the block lasts. Raises FileNotFoundError."""
        with self._fetched.file(key, self._fetch) as path:
            yield path

    def _fetch(self, key: str, target: Path) -> None:
        with _answering(), target.open("wb") as file:
            for chunk in self._store.get(key).stream():
                file.write(chunk)

    def sweep(self) -> None:
        """Drops local copies that nobody used for long."""
        self._fetched.sweep()


class LocalObjects(Objects):
    """A folder of this process alone. Adds what ``put`` of obstore leaves out: the fsync of the
    file and of its folder."""

    is_exclusive = True
    parallel_reads = 1

    def __init__(self, root: Path) -> None:
        make_folder(root)
        self._root = root
        self._store = LocalStore(root)

    def put(self, key: str, data: bytes, mime_type: str = "") -> None:
        """See Objects."""
        write_file(self._root / key, data)

    def create(self, key: str, data: bytes) -> bool:
        """See Objects; of one thread at a time, which is whoever holds the store's lock."""
        if (self._root / key).exists():
            return False
        self.put(key, data)
        return True

    def replace(self, key: str, old: bytes, new: bytes) -> bool:
        """See Objects; of one thread at a time, as ``create``."""
        if self.get(key) != old:
            return False
        self.put(key, new)
        return True

    def put_file(self, key: str, file: Path, mime_type: str = "") -> None:
        """See Objects; no bytes are copied."""
        link_file(file, self._root / key)

    def listed(self, folder: str, after: str = "") -> Iterator[ObjectInfo]:
        """See Objects."""
        for info in sorted(super().listed(folder), key=lambda info: info.key):
            if info.key > after and not info.name.startswith("."):
                yield info

    def drafts(self, folder: str) -> Iterator[ObjectInfo]:
        """What a crash left of objects that were being written below a folder."""
        return (info for info in super().listed(folder) if info.name.startswith("."))

    def delete(self, key: str) -> None:
        """See Objects."""
        remove_file(self._root / key)

    def delete_folder(self, folder: str) -> None:
        """See Objects; the folder goes too, since its name is that of what is deleted."""
        remove_folder(self._root / folder)

    @contextlib.contextmanager
    def as_file(self, key: str) -> Iterator[Path]:
        """See Objects."""
        path = self._root / key
        os.stat(path)  # noqa: PTH116 - only for its FileNotFoundError
        yield path

    def sweep(self) -> None:
        """Nothing is copied, so nothing is left."""


def open_objects(url: str, local: Path, fetched: FetchedFiles) -> Objects:
    """The objects at a URL, or in the folder ``local`` without one.

    Raises:
        InvalidInput: ``MEDIA_URL_INVALID``.
    """
    if not url:
        return LocalObjects(local)
    try:
        match url.partition("://")[0]:
            case "memory":
                return Objects(from_url(url), fetched)
            case "s3":
                return Objects(S3Store.from_url(url, retry_config=_RETRIES), fetched)
            case _:
                raise ValueError
    except (BaseError, ValueError):
        raise InvalidInput(
            "MEDIA_URL_INVALID",
            "SENSORIUM_MEDIA_URL is s3://bucket/prefix or memory:///, or unset for the data "
            "folder.",
            subject="SENSORIUM_MEDIA_URL",
        ) from None


def _attributes(mime_type: str) -> dict[str, str] | None:
    return {"Content-Type": mime_type} if mime_type else None


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise
    except BaseError as error:
        raise Unavailable(
            "MEDIA_STORE_UNAVAILABLE",
            "The media store does not answer; try again.",
            retry_after_s=5.0,
        ) from error
