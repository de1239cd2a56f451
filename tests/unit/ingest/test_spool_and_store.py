"""Parts that resume and assets that are whole or not there."""

import hashlib
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.model import MediaInfo, Modality
from services.ingest.spool import Spool
from services.ingest.store import AssetRecord, MediaStore
from services.runtime.errors import AlreadyExists, OutOfOrder

CONTENT = bytes(range(256)) * 40


def draft(asset_id: str, content: bytes = CONTENT) -> AssetRecord:
    return AssetRecord(
        asset_id=asset_id,
        name="n",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        info=MediaInfo(Modality.TEXT, "text/plain"),
        create_time_us=0,
        tags=("x",),
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, len(CONTENT)), max_size=4), st.integers(0, 500))
def test_resume_at_any_point_gives_the_same_hash(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], junk: int
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"), 3600)
    for cut in sorted(cuts):
        part = spool.open("t", "a")
        part.append([CONTENT[part.received_bytes : cut]])
        part.close()
        state = spool.state("t", "a")
        assert (state.durable_bytes if state else 0) == cut
        if part.path.exists():
            # What a crash may leave: bytes that were written but never synced.
            part.path.write_bytes(part.path.read_bytes() + bytes(junk))
    part = spool.open("t", "a")
    assert part.received_bytes == max(cuts, default=0)
    part.append([CONTENT[part.received_bytes :]])
    assert part.finish() == hashlib.sha256(CONTENT).hexdigest()
    assert part.path.read_bytes() == CONTENT
    part.discard()
    assert spool.state("t", "a") is None


def test_part_is_held_by_one_stream_and_expires(tmp_path: Path) -> None:
    now_s = [0.0]
    spool = Spool(tmp_path, 10, clock=lambda: now_s[0])
    part = spool.open("t", "a")
    part.append([CONTENT])
    with pytest.raises(OutOfOrder, match="UPLOAD_IN_PROGRESS"):
        Spool(tmp_path, 10).open("t", "a")
    part.close()
    state = spool.state("t", "a")
    assert state is not None
    now_s[0] = state.expire_time_s - 1
    assert spool.sweep() == 0
    now_s[0] = state.expire_time_s
    assert spool.state("t", "a") is None
    assert spool.sweep() == 1
    assert not list(tmp_path.glob("t/*"))


def test_commit_cut_off_at_any_write_leaves_nothing_visible_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "part"
    part.write_bytes(CONTENT)
    for survived in range(4):
        root = tmp_path / f"store{survived}"
        store = MediaStore(root)
        calls = [0]

        def dying(*args: object, calls: list[int] = calls, survived: int = survived) -> None:
            if calls[0] >= survived:
                raise KeyboardInterrupt
            calls[0] += 1
            link(*args) if isinstance(args[1], Path) else write(*args)  # type: ignore[arg-type]

        from services.ingest.durable import link_file as link
        from services.ingest.durable import write_file as write

        with monkeypatch.context() as patched:
            patched.setattr("services.ingest.store.link_file", dying)
            patched.setattr("services.ingest.store.write_file", dying)
            with pytest.raises(KeyboardInterrupt):
                store.commit("t", part, draft("a"))
        reopened = MediaStore(root)
        assert reopened.find("t", "a") is None
        assert reopened.find_by_sha256("t", [draft("a").sha256]) == []
        assert reopened.list_newest("t", 10) == ([], "")
        record = reopened.commit("t", part, draft("b"))
        assert record.duplicate_of == ""
        assert reopened.commit("t", part, draft("a")).duplicate_of == "b"
        assert [r.asset_id for r in reopened.list_newest("t", 10)[0]] == ["a", "b"]
        assert reopened.blob_path("t", record.sha256).read_bytes() == CONTENT
        shutil.rmtree(root)


def test_asset_id_holds_one_content(tmp_path: Path) -> None:
    part, other = tmp_path / "part", tmp_path / "other"
    part.write_bytes(CONTENT)
    other.write_bytes(b"other")
    store = MediaStore(tmp_path / "store")
    record = store.commit("t", part, draft("a"))
    assert store.commit("t", part, draft("a")) == record == store.get("t", "a")
    with pytest.raises(AlreadyExists, match="ASSET_EXISTS"):
        store.commit("t", other, draft("a", b"other"))


def test_names_that_climb_find_nothing(tmp_path: Path) -> None:
    store, spool = MediaStore(tmp_path / "store"), Spool(tmp_path / "uploads", 10)
    assert store.find("t", "../../x") is None
    assert store.find_by_sha256("t", ["../../x"]) == []
    assert spool.state("t", "../../x") is None
