"""A loss of power: what is left is what was synced."""

import threading
from pathlib import Path

import pytest

from services.search import durability
from services.search.filters import Scope
from services.search.writer import WriterOptions
from tests.unit.search.builders import open_index, record


class Disk:
    """Notes of a folder what would survive: of a file the content of its last sync, and a
    name only where the folder that has it was synced since."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._contents: dict[Path, bytes] = {}
        self._names: set[Path] = {root}
        self._lock = threading.Lock()  # several threads sync at once

    def fsync(self, name: str) -> None:
        """In the place of the real one."""
        path = Path(name)
        with self._lock:
            if path.is_dir():
                self._names = {known for known in self._names if known.parent != path}
                self._names.update(path.iterdir())
            elif path.exists():
                self._contents[path] = path.read_bytes()

    def restore(self, target: Path) -> None:
        """Write what is left to another folder."""
        for path, content in self._contents.items():
            around = [parent for parent in path.parents if parent.is_relative_to(self._root)]
            if path in self._names and set(around) <= self._names | {self._root}:
                copy = target / path.relative_to(self._root)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(content)


async def test_what_is_acknowledged_outlives_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    disk = Disk(root)
    monkeypatch.setattr(durability, "_fsync", disk.fsync)
    async with open_index(root / "index", WriterOptions(compact_commits=3)) as index:
        for number in range(8):
            await index.add(record(f"d{number}", asset_id="kept", text=f"word{number}"))
        await index.add(record("gone", asset_id="gone"))
        await index.writer.delete(Scope("tenant", asset_ids=["gone"]))
        await index.add(record("d3", asset_id="kept", text="newer"))
        disk.restore(tmp_path / "left")
    async with open_index(tmp_path / "left" / "index") as index:
        assert await index.searcher.count("tenant") == {"test-space": 8}
        assert sorted(await index.ids(asset_id="kept")) == [f"d{number}" for number in range(8)]
        assert len(await index.by_text("newer", Scope("tenant"))) == 1
