"""Renditions that are kept, beside the bytes that they were made from. Blocks throughout.

All that was made of one content lies below one key, so that a deletion is the removal of it::

    tenants/<tenant>/renditions/<aa>/<sha256>/<name>       the bytes of one
    tenants/<tenant>/renditions/<aa>/<sha256>/list.json    what they are, written last
"""

import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from services.ingest.durable import sync_file
from services.ingest.model import MadeRendition, Rendition
from services.ingest.objects import Objects
from services.ingest.records import Keys

_LIST = "list.json"


@dataclass(frozen=True, slots=True)
class Renditions:
    """What there is of one content."""

    items: tuple[Rendition, ...] = ()
    recipe: str = ""
    """By which rules all were made that can be; empty while they were not."""

    def find(self, name: str) -> Rendition | None:
        """The rendition of a name, None if there is none."""
        return next((item for item in self.items if item.name == name), None)


class RenditionStore:
    """Renditions of all tenants. Thread-safe."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._lock = threading.Lock()

    def keep(self, tenant: str, sha256: str, made: MadeRendition) -> Rendition:
        """Store the bytes of a rendition, durably; ``publish`` makes it known."""
        key = Keys(tenant).rendition(sha256, made.name)
        if isinstance(made.content, Path):
            with made.content.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = made.content.stat().st_size
            sync_file(made.content)
            # One that other rules made would be kept.
            self._objects.delete(key)
            self._objects.put_file(key, made.content, made.mime_type)
        else:
            digest, size_bytes = hashlib.sha256(made.content).hexdigest(), len(made.content)
            self._objects.put(key, made.content, made.mime_type)
        return Rendition(
            name=made.name,
            mime_type=made.mime_type,
            size_bytes=size_bytes,
            sha256=digest,
            width_px=made.width_px,
            height_px=made.height_px,
            time_s=made.time_s,
        )

    def publish(self, tenant: str, sha256: str, items: Iterable[Rendition], recipe: str) -> None:
        """Make renditions known that are kept: with a recipe in the place of those known before,
        without one besides them."""
        with self._lock:
            known = Renditions() if recipe else self.of(tenant, sha256)
            by_name = {item.name: item for item in (*known.items, *items)}
            content = {
                "recipe": recipe or known.recipe,
                "items": [dataclasses.asdict(item) for item in by_name.values()],
            }
            key = Keys(tenant).rendition(sha256, _LIST)
            self._objects.put(key, json.dumps(content).encode())

    def add(self, tenant: str, sha256: str, made: MadeRendition) -> None:
        """Keep one rendition and make it known besides the others."""
        self.publish(tenant, sha256, [self.keep(tenant, sha256, made)], "")

    def of(self, tenant: str, sha256: str) -> Renditions:
        """What is known of a content; nothing where that is damaged, so it is made again."""
        content = self.get(tenant, sha256, _LIST)
        if content is None:
            return Renditions()
        try:
            fields = json.loads(content)
            items = tuple(Rendition(**item) for item in fields["items"])
            return Renditions(items, fields["recipe"])
        except (ValueError, KeyError, TypeError):
            return Renditions()

    def get(self, tenant: str, sha256: str, name: str) -> bytes | None:
        """All bytes of a small rendition, None if there is none."""
        return self._objects.get(Keys(tenant).rendition(sha256, name))

    def read(self, tenant: str, sha256: str, name: str, start: int, end: int) -> bytes:
        """The bytes of a rendition from ``start`` to before ``end``; fewer where it has no more.
        Raises FileNotFoundError."""
        return self._objects.get_range(Keys(tenant).rendition(sha256, name), start, end)

    def remove(self, tenant: str, sha256: str) -> None:
        """Forget all that was made of a content."""
        self._objects.delete_folder(Keys(tenant).derived("renditions", sha256))
