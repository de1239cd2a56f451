"""Parts that resume and assets that are whole or not there."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.objects import LocalObjects
from services.ingest.spool import Spool
from services.ingest.store import MediaStore
from services.runtime.errors import AlreadyExists, OutOfOrder
from tests.unit.ingest.stored import CONTENT, draft


@settings(max_examples=20)
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


def test_asset_id_holds_one_content(tmp_path: Path) -> None:
    part, other = tmp_path / "part", tmp_path / "other"
    part.write_bytes(CONTENT)
    other.write_bytes(b"other")
    store = MediaStore(LocalObjects(tmp_path / "store"), "space")
    record = store.commit("t", part, draft("a"))
    assert store.commit("t", part, draft("a")) == record == store.get("t", "a")
    with pytest.raises(AlreadyExists, match="ASSET_EXISTS"):
        store.commit("t", other, draft("a", b"other"))


def test_names_that_climb_find_nothing(tmp_path: Path) -> None:
    store = MediaStore(LocalObjects(tmp_path / "store"), "space")
    spool = Spool(tmp_path / "uploads", 10)
    assert store.find("t", "../../x") is None
    assert store.find_by_sha256("t", ["../../x"]) == []
    assert spool.state("t", "../../x") is None
