"""The lease: one holder at a time, whatever the clocks and the store do."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from services.runtime.errors import Unavailable
from services.search.claims import fence
from services.search.durability import FolderSync
from services.search.filters import Scope
from services.search.lease import FolderLease, Holder
from services.search.object_lease import LeaseTerms, ObjectLease
from services.search.schema import KEY, to_arrow
from services.search.tables import AsyncTable, Tables
from services.search.writer import IndexWriter
from tests.pipeline.platform import until
from tests.unit.search.builders import SPACE, open_index, record

TERMS = LeaseTerms(ttl_s=100.0)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class ScriptedLease:
    """A lease that a test takes away."""

    remaining: float = 60.0
    epoch: int = 1

    def remaining_s(self) -> float:
        return self.remaining

    async def acquire(self) -> Holder | None:
        return None if self.remaining else Holder("elsewhere:1", 1.0)

    async def lapsed(self, holder: Holder) -> None:
        return None

    async def release(self) -> None:
        self.remaining = 0.0


async def test_a_folder_has_one_writer_and_the_next_takes_over_at_once(tmp_path: Path) -> None:
    first, second = FolderLease(tmp_path, "one:1"), FolderLease(tmp_path, "two:2")
    assert await first.acquire() is None
    assert await first.acquire() is None, "held already"
    assert await second.acquire() == Holder("one:1", retry_after_s=1.0)
    assert (first.remaining_s() > 0, second.remaining_s()) == (True, 0.0)
    await first.release()
    assert await second.acquire() is None
    assert second.epoch == first.epoch + 1
    assert await first.acquire() == Holder("two:2", retry_after_s=1.0)
    await second.release()


async def test_calls_at_once_do_not_keep_each_other_from_the_lease(tmp_path: Path) -> None:
    lease = FolderLease(tmp_path, "one:1")
    assert await asyncio.gather(*(lease.acquire() for _ in range(8))) == [None] * 8
    assert lease.epoch == 1
    await lease.release()


async def test_an_object_is_taken_when_let_go_or_unchanged_for_its_term() -> None:
    store, clock = MemoryStore(), Clock()
    first, second, third = (ObjectLease(store, f"{n}:1", TERMS, clock) for n in "abc")
    assert await first.acquire() is None
    assert await second.acquire() == Holder("a:1", retry_after_s=100.0)
    clock.now_s += 99
    assert first.remaining_s() == 0, "its holder stops before another may begin"
    held = await second.acquire()
    assert held is not None and held.retry_after_s == TERMS.renew_s
    clock.now_s += 1
    assert await second.acquire() is None
    assert await first.acquire() == Holder("b:1", retry_after_s=100.0)
    await second.release()
    assert await third.acquire() is None, "what was let go is free"
    assert (first.epoch, second.epoch, third.epoch) == (1, 2, 3)
    await third.release()


async def test_a_renewed_lease_is_kept() -> None:
    store, terms, clock = MemoryStore(), LeaseTerms(ttl_s=1.0), Clock()
    first, second = (ObjectLease(store, f"{n}:1", terms, clock) for n in "ab")
    assert await first.acquire() is None
    whole_s = first.remaining_s()
    for _ in range(3):
        assert await second.acquire() is not None
        clock.now_s += 0.6
        await until(lambda: first.remaining_s() == whole_s, 30, "it is renewed")
    assert first.epoch == 1
    await first.release()


async def test_of_many_that_want_it_one_gets_it() -> None:
    store = MemoryStore()
    leases = [ObjectLease(store, f"{n}:1", TERMS) for n in range(8)]
    assert [await lease.acquire() for lease in leases].count(None) == 1
    await asyncio.gather(*(lease.release() for lease in leases))
    holders = await asyncio.gather(*(lease.acquire() for lease in leases))
    assert holders.count(None) == 1
    await asyncio.gather(*(lease.release() for lease in leases))


Step = tuple[int, str, float]
_STEPS = st.tuples(
    st.integers(0, 2), st.sampled_from(["acquire", "release"]), st.floats(0.0, 150.0)
)


@settings(max_examples=60)
@given(st.lists(_STEPS, max_size=25))
def test_never_two_hold_it_and_epochs_only_grow(steps: list[Step]) -> None:
    async def play() -> None:
        store, clock, epochs = MemoryStore(), Clock(), [0]
        leases = [ObjectLease(store, f"{n}:1", TERMS, clock) for n in range(3)]
        for number, action, pause_s in steps:
            lease = leases[number]
            held = lease.remaining_s() > 0
            await getattr(lease, action)()
            if action == "acquire" and lease.remaining_s() and not held:
                assert lease.epoch > max(epochs)
                epochs.append(lease.epoch)
            assert sum(one.remaining_s() > 0 for one in leases) <= 1
            clock.now_s += pause_s

    asyncio.run(play())


async def test_without_the_lease_nothing_is_written(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("kept"))
    lease, tables = ScriptedLease(), Tables(tmp_path)
    await tables.connect()
    writer = IndexWriter(tables, lease)
    await writer.start()
    await writer.write(SPACE, [record("mine")])
    lease.remaining = 0.0
    for change in (writer.write(SPACE, [record("late")]), writer.delete(Scope("tenant"))):
        with pytest.raises(Unavailable) as caught:
            await change
        assert caught.value.reason == "INDEX_WRITER_CHANGED"
        assert caught.value.retry_after_s
    lease.remaining, lease.epoch = 60.0, 3
    await writer.write(SPACE, [record("again")])
    await writer.stop()
    tables.close()
    async with open_index(tmp_path) as index:
        assert await index.ids() == ["again", "kept", "mine"]


async def test_a_commit_that_outlasts_the_lease_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("kept"))
    lease, tables = ScriptedLease(), Tables(tmp_path)
    await tables.connect()
    writer = IndexWriter(tables, lease)
    await writer.start()
    monkeypatch.setattr(FolderSync, "sync", lambda _: setattr(lease, "remaining", 0.0))
    with pytest.raises(Unavailable) as caught:
        await writer.write(SPACE, [record("late")])
    assert caught.value.reason == "INDEX_WRITER_CHANGED"
    await writer.stop()
    tables.close()
    async with open_index(tmp_path) as index:
        assert await index.ids() == ["kept", "late"], "the lease was lost after the commit"


async def _merge(table: AsyncTable) -> None:
    merge = table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all()
    await merge.execute(to_arrow([record("d0", text="stale"), record("new")], 8))


async def _delete(table: AsyncTable) -> None:
    await table.delete("document_id = 'd0'")


@pytest.mark.parametrize("change", [_merge, _delete])
async def test_a_commit_from_before_the_fence_fails_however_late_it_comes(
    tmp_path: Path, change: Callable[[AsyncTable], Awaitable[None]]
) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("d0"), record("d1"))
        frozen = await index.tables.open_to_write(SPACE)
        fenced = await index.tables.open_to_write(SPACE)
        await fence(fenced, ScriptedLease())
        await index.add(record("d2"))
        with pytest.raises(RuntimeError, match="incompatible with concurrent transaction Restore"):
            await change(frozen)
        listed = await index.searcher.list_assets(SPACE, "tenant", ["asset"])
        assert [(one.document_id, one.text) for one in listed] == [
            ("d0", ""),
            ("d1", ""),
            ("d2", ""),
        ]
        frozen.close()
        fenced.close()
