"""Assets that are whole or not there, shared bytes, and deletions that leave nothing."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.audit import GRACE_S, Auditor, Fault
from services.ingest.model import MadeRendition
from services.ingest.objects import LocalObjects
from services.ingest.records import FIRST_SPACE, Keys
from services.ingest.rendition_store import RenditionStore
from services.ingest.store import MediaStore
from services.runtime.errors import InternalFailure, NotFound, OutOfOrder
from tests.unit.ingest.stored import CONTENT, Died, DyingObjects, commit, draft

SHA256 = draft("a").sha256
OTHER = b"other bytes"
PICTURE = MadeRendition("thumbnail", "image/jpeg", b"jpeg", 1, 1)


def open_store(root: Path) -> MediaStore:
    return MediaStore(LocalObjects(root), FIRST_SPACE)


class PausingObjects(LocalObjects):
    """Stops when bytes are taken in and nothing is known of them yet."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.entered, self.go_on = threading.Event(), threading.Event()

    def put_file(self, key: str, file: Path, mime_type: str = "") -> None:
        """See Objects."""
        super().put_file(key, file, mime_type)
        self.entered.set()
        self.go_on.wait()


def files(root: Path) -> list[str]:
    """All files below a folder."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def faults(store: MediaStore, *, deep: bool = False, repair: bool = False) -> list[Fault]:
    return [found.fault for found in Auditor(store).check("t", deep=deep, repair=repair)]


def delete(store: MediaStore, asset_id: str) -> str:
    promoted = store.bury("t", asset_id)
    store.purge("t", asset_id)
    return promoted


def test_commit_cut_off_at_any_write_leaves_nothing_visible_and_can_be_repeated(
    tmp_path: Path,
) -> None:
    for survived in range(4):
        root = tmp_path / f"store{survived}"
        with pytest.raises(Died):
            commit(MediaStore(DyingObjects(root, survived), FIRST_SPACE), tmp_path, "a")
        reopened = open_store(root)
        assert reopened.find("t", "a") is None
        assert reopened.find_by_sha256("t", [SHA256]) == []
        assert reopened.list_newest("t", 10) == ([], "")
        record = commit(reopened, tmp_path, "b")
        assert record.duplicate_of == ""
        assert commit(reopened, tmp_path, "a").duplicate_of == "b"
        assert [r.asset_id for r in reopened.list_newest("t", 10)[0]] == ["a", "b"]
        with reopened.blob_file("t", record.sha256) as path:
            assert path.read_bytes() == CONTENT
        assert set(faults(reopened, deep=True)) <= {Fault.ORPHAN}


def test_orphans_of_commits_that_were_cut_off_are_collected_while_a_commit_runs(
    tmp_path: Path,
) -> None:
    for survived in range(1, 4):
        root = tmp_path / f"store{survived}"
        with pytest.raises(Died):
            commit(MediaStore(DyingObjects(root, survived), FIRST_SPACE), tmp_path, "a")
        assert files(root)
        objects = PausingObjects(root)
        store = MediaStore(objects, FIRST_SPACE)
        committing = threading.Thread(target=commit, args=(store, tmp_path, "b", OTHER))
        committing.start()
        objects.entered.wait()
        Auditor(store).collect_orphans()
        left = files(root)
        objects.go_on.set()
        committing.join()
        assert [name for name in left if SHA256 in name or "-a" in name] == []
        with store.blob_file("t", draft("b", OTHER).sha256) as path:
            assert path.read_bytes() == OTHER
        assert faults(store) == []


def test_deleting_the_first_promotes_the_oldest_and_the_last_takes_the_bytes(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    store = open_store(root)
    for asset_id in "abcd":
        assert commit(store, tmp_path, asset_id).duplicate_of == ("" if asset_id == "a" else "a")
    store.mark_indexed("t", "a", SHA256, 7)
    RenditionStore(store.objects).add("t", SHA256, PICTURE)
    assert store.get("t", "c").indexed
    assert delete(store, "b") == ""
    assert delete(store, "a") == "c"
    first, last = store.get("t", "c"), store.get("t", "d")
    assert (first.duplicate_of, first.indexed, last.duplicate_of) == ("", False, "c")
    assert [record.asset_id for record in store.find_by_sha256("t", [SHA256])] == ["c"]
    assert RenditionStore(store.objects).get("t", SHA256, "thumbnail") == b"jpeg"
    assert faults(store, deep=True) == []
    assert delete(store, "d") == ""
    assert delete(store, "c") == ""
    assert files(root) == []
    with pytest.raises(NotFound):
        store.bury("t", "c")


def test_a_buried_asset_is_nowhere_and_its_id_is_taken_until_it_is_purged(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    commit(store, tmp_path, "a")
    store.bury("t", "a")
    assert store.find("t", "a") is None
    assert store.list_newest("t", 10) == ([], "")
    assert store.find_by_sha256("t", [SHA256]) == []
    with pytest.raises(OutOfOrder, match="ASSET_BEING_DELETED"):
        commit(store, tmp_path, "a")
    with pytest.raises(NotFound):
        store.mark_indexed("t", "a")
    # Others may bring the same bytes meanwhile: they stay.
    assert commit(store, tmp_path, "b").duplicate_of == ""
    store.purge("t", "a")
    with store.blob_file("t", SHA256) as path:
        assert path.read_bytes() == CONTENT
    assert commit(store, tmp_path, "a").duplicate_of == "b"
    assert faults(store, deep=True) == []


def test_deletion_cut_off_at_any_change_is_found_and_completed(tmp_path: Path) -> None:
    for survived in range(20):
        root = tmp_path / f"store{survived}"
        store = open_store(root)
        for asset_id in ("a", "b"):
            commit(store, tmp_path, asset_id)
        store.mark_indexed("t", "a", SHA256, 1)
        dying = MediaStore(DyingObjects(root, survived), FIRST_SPACE)
        try:
            delete(dying, "a")
            delete(dying, "b")
        except Died:
            done = False
        else:
            done = True
        reopened = open_store(root)
        for asset_id in reopened.buried("t"):
            delete(reopened, asset_id)
        assert faults(reopened, deep=True) == []
        for record in reopened.list_newest("t", 10)[0]:
            with reopened.blob_file("t", record.sha256) as path:
                assert path.read_bytes() == CONTENT
            delete(reopened, record.asset_id)
        assert files(root) == []
        if done:
            return
    raise AssertionError("a deletion takes more changes than were tried")


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["commit", "delete", "bury", "purge", "collect"]),
            st.sampled_from("abc"),
            st.sampled_from([CONTENT, OTHER]),
        ),
        max_size=25,
    )
)
def test_whatever_is_done_the_store_agrees_with_a_simple_model(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("model")
    store = open_store(folder / "store")
    living: dict[str, bytes] = {}
    buried: set[str] = set()
    for what, asset_id, content in steps:
        if what == "commit" and asset_id not in buried and living.get(asset_id) in (None, content):
            commit(store, folder, asset_id, content)
            living[asset_id] = content
        elif what in ("delete", "bury") and asset_id in living:
            store.bury("t", asset_id)
            del living[asset_id]
            buried.add(asset_id)
        if what in ("delete", "purge"):
            store.purge("t", asset_id)
            buried.discard(asset_id)
        if what == "collect":
            Auditor(store).collect_orphans()
        listed, _ = store.list_newest("t", 10)
        assert {record.asset_id for record in listed} == living.keys()
        for content in (CONTENT, OTHER):
            sha256 = draft("x", content).sha256
            having = [record for record in listed if record.sha256 == sha256]
            assert [record.duplicate_of for record in having].count("") == bool(having)
            assert all((living[record.asset_id] == content) for record in having)
            if having:
                with store.blob_file("t", sha256) as path:
                    assert path.read_bytes() == content
    for asset_id in buried:
        store.purge("t", asset_id)
    assert faults(store, deep=True) == []


# --- damage made on purpose ------------------------------------------------------------------


def damage(change: Callable[[Path, Keys], object], tmp_path: Path) -> MediaStore:
    """A store of three assets, ``a`` and ``b`` with the same bytes, after a change to its files."""
    root = tmp_path / "store"
    store = open_store(root)
    for asset_id, content in (("a", CONTENT), ("b", CONTENT), ("c", OTHER)):
        commit(store, tmp_path, asset_id, content)
    assert faults(store, deep=True) == []
    change(root, Keys("t"))
    return store


def remove_time_entry(root: Path, keys: Keys) -> None:
    (root / keys.time(open_store(root).get("t", "c"))).unlink()


def add_orphan_bytes(root: Path, keys: Keys) -> None:
    path = root / keys.blob("ab" * 32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"nobody's")


def leave_draft(root: Path, keys: Keys) -> None:
    path = root / keys.folder("assets") / ".a.json.12"
    path.write_bytes(b"{")
    os.utime(path, (path.stat().st_mtime - GRACE_S - 1,) * 2)


def claim_for_nobody(root: Path, keys: Keys) -> None:
    (root / keys.claim(SHA256)).write_text(json.dumps({"asset_id": "gone"}))


MENDED: dict[Fault, list[Callable[[Path, Keys], object]]] = {
    Fault.CLAIM_WRONG: [
        claim_for_nobody,
        lambda root, keys: (root / keys.claim(SHA256)).unlink(),
        lambda root, keys: (root / keys.claim(SHA256)).write_bytes(b"{half"),
    ],
    Fault.ENTRY_MISSING: [
        remove_time_entry,
        lambda root, keys: (root / keys.duplicate(SHA256, "b")).unlink(),
    ],
    Fault.ORPHAN: [
        add_orphan_bytes,
        leave_draft,
        lambda root, _: RenditionStore(LocalObjects(root)).add("t", "cd" * 32, PICTURE),
        lambda root, keys: LocalObjects(root).put(keys.mark("gone"), b""),
        lambda root, keys: LocalObjects(root).put(f"{keys.folder('by-time')}/{'0' * 20}-gone", b""),
        lambda root, keys: LocalObjects(root).put(keys.duplicate(SHA256, "gone"), b""),
        lambda root, keys: (root / keys.claim("ef" * 32)).write_text('{"asset_id": "gone"}'),
    ],
}


@pytest.mark.parametrize(
    ("fault", "change"), [(fault, each) for fault, some in MENDED.items() for each in some]
)
def test_damage_of_the_catalogue_is_found_and_mended(
    fault: Fault, change: Callable[[Path, Keys], object], tmp_path: Path
) -> None:
    store = damage(change, tmp_path)
    assert set(faults(store)) == {fault}
    assert set(faults(store, repair=True)) == {fault}
    assert faults(store, deep=True) == []
    assert [record.asset_id for record in store.list_newest("t", 10)[0]] == ["c", "b", "a"]
    assert [store.get("t", asset_id).duplicate_of for asset_id in "abc"] == ["", "a", ""]


def test_lost_bytes_are_told_of_every_asset_that_had_them_and_nothing_is_touched(
    tmp_path: Path,
) -> None:
    store = damage(lambda root, keys: (root / keys.blob(SHA256)).unlink(), tmp_path)
    before = files(tmp_path)
    assert faults(store, repair=True) == [Fault.BYTES_MISSING] * 2
    assert files(tmp_path) == before


def test_changed_bytes_are_found_by_their_length_or_by_their_hash(tmp_path: Path) -> None:
    other = draft("c", OTHER).sha256
    store = damage(lambda root, keys: (root / keys.blob(other)).write_bytes(OTHER[:-1]), tmp_path)
    assert faults(store) == [Fault.BYTES_DAMAGED]
    (tmp_path / "store" / Keys("t").blob(other)).write_bytes(OTHER[:-1] + b"?")
    assert faults(store) == []
    assert faults(store, deep=True) == [Fault.BYTES_DAMAGED]


def test_a_damaged_record_is_told_and_its_bytes_are_kept_until_it_is_removed(
    tmp_path: Path,
) -> None:
    store = damage(lambda root, keys: (root / keys.record("c")).write_bytes(b"{"), tmp_path)
    assert [record.asset_id for record in store.list_newest("t", 10)[0]] == ["b", "a"]
    Auditor(store).collect_orphans()
    assert (tmp_path / "store" / Keys("t").blob(draft("c", OTHER).sha256)).exists()
    assert faults(store) == [Fault.RECORD_DAMAGED]
    assert Fault.RECORD_DAMAGED in faults(store, repair=True)
    assert faults(store, deep=True) == []
    assert not (tmp_path / "store" / Keys("t").blob(draft("c", OTHER).sha256)).exists()


def test_a_deletion_that_a_damaged_record_held_up_is_completed_by_a_repair(tmp_path: Path) -> None:
    store = damage(lambda root, keys: (root / keys.record("b")).write_bytes(b"{"), tmp_path)
    with pytest.raises(InternalFailure, match="RECORD_DAMAGED"):
        store.bury("t", "a")
    for finding in Auditor(store).check("t", deep=False, repair=True):
        if finding.fault is Fault.DELETION_UNFINISHED:
            delete(store, finding.asset_id)
    assert faults(store, deep=True) == []
    assert [record.asset_id for record in store.list_newest("t", 10)[0]] == ["c"]


def test_what_an_earlier_version_found_is_read(tmp_path: Path) -> None:
    store = damage(lambda *_: None, tmp_path)
    place = {"span": None, "region": None, "characters": {"start": 3, "end": 9}}
    found = {"category": "toxic", "score": 0.75, "blocked": True, **place}
    store.objects.put(Keys("t").findings("a"), json.dumps([found]).encode())
    record = store.get("t", "a")
    (finding,) = record.findings
    assert (finding.category, finding.score, finding.blocked) == ("toxic", 0.75, True)
    # How it scores otherwise was not kept.
    assert record.scores == ()


def test_what_was_indexed_in_another_space_is_to_be_indexed_again(tmp_path: Path) -> None:
    root = tmp_path / "store"
    earlier = open_store(root)
    commit(earlier, tmp_path, "a")
    earlier.mark_indexed("t", "a", SHA256, 7)
    later = MediaStore(LocalObjects(root), "another-space")
    assert not later.get("t", "a").indexed
    later.mark_indexed("t", "a", SHA256, 8)
    assert (later.get("t", "a").indexed, later.get("t", "a").document_count) == (True, 8)
    assert not earlier.get("t", "a").indexed
    later.mark_indexed("t", "a", SHA256, 9, FIRST_SPACE)
    assert (earlier.get("t", "a").indexed, later.get("t", "a").indexed) == (True, False)
    assert faults(later) == []


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b"{}"])
def test_a_damaged_note_costs_what_it_said_and_not_the_listing(
    damaged: bytes, tmp_path: Path
) -> None:
    store = damage(lambda *_: None, tmp_path)
    store.mark_indexed("t", "a", SHA256, 7)
    renditions = RenditionStore(store.objects)
    renditions.add("t", SHA256, PICTURE)
    keys = Keys("t")
    for key in (keys.mark("a"), keys.findings("a"), keys.rendition(SHA256, "list.json")):
        store.objects.put(key, damaged)
    assert [record.asset_id for record in store.list_newest("t", 10)[0]] == ["c", "b", "a"]
    found = store.get("t", "a")
    # A mark that says nothing is one of an earlier version.
    assert (found.indexed, found.document_count, found.findings) == (damaged == b"", 0, ())
    assert renditions.of("t", SHA256).items == ()
    assert faults(store) == []
    renditions.add("t", SHA256, PICTURE)
    assert renditions.of("t", SHA256).find("thumbnail") is not None
