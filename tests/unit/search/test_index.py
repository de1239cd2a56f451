"""Writing: durable, idempotent, bounded."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.runtime.errors import InternalFailure, InvalidInput, Unavailable
from services.search.durability import FolderSync
from services.search.erasure import loosen
from services.search.filters import Scope
from services.search.lease import FolderLease
from services.search.query import AssetCount
from services.search.record import Chars, Record, Region
from services.search.schema import to_arrow
from services.search.tables import Tables
from services.search.writer import IndexWriter, WriterOptions
from tests.pipeline.platform import until
from tests.stored_bytes import stored
from tests.unit.search.builders import SPACE, open_index, record, vector

TENANT = Scope("tenant")


async def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = record(
        "asset/frame/0#label/0",
        text="a 'bear' \\ in the 森",
        start_ms=1_500,
        region=Region(1, 2, 3, 4),
        chars=Chars(5, 6),
        user_id="ada",
    )
    async with open_index(tmp_path) as index:
        await index.add(written, record("asset/frame/1"))
        read = (await index.searcher.list_assets(SPACE, "tenant", ["asset"]))[1]
    for name in Record.__slots__:
        if name != "vector":
            assert getattr(read, name) == getattr(written, name), name
    assert read.vector.tolist() == written.vector.tolist()


async def test_a_known_id_replaces_the_old_document(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("d", text="old words"))
        await index.add(record("d", text="interim"), record("d", text="new words"))
        assert [r.text for r in await index.searcher.list_assets(SPACE, "tenant", ["asset"])] == [
            "new words"
        ]
        assert await index.by_text("old", TENANT) == []
        assert len(await index.by_text("new", TENANT)) == 1


async def test_many_writers_of_the_same_new_ids_make_no_duplicates(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        batch = [record(f"d{number}") for number in range(10)]
        await asyncio.gather(*(index.writer.write(SPACE, batch) for _ in range(20)))
        assert await index.searcher.count("tenant") == {SPACE: 10}


async def test_a_vector_of_another_length_is_refused_alone(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("first"))
        odd = record("odd")
        object.__setattr__(odd, "vector", vector("odd")[:4])
        refusals = await index.writer.write(SPACE, [odd, record("second")])
        assert isinstance(refusals[0], InvalidInput)
        assert refusals[0].reason == "DIMENSION_MISMATCH"
        assert refusals[1] is None
        assert await index.ids() == ["first", "second"]


async def test_documents_are_listed_in_order_of_time(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(
            record("f/10", start_ms=10_000),
            record("f/9", start_ms=9_000),
            record("f/9#label/10", start_ms=9_000),
            record("f/9#label/2", start_ms=9_000),
        )
        assert await index.ids() == ["f/9", "f/9#label/2", "f/9#label/10", "f/10"]


async def test_a_table_whose_making_was_cut_off_is_made_again(tmp_path: Path) -> None:
    (tmp_path / f"documents-{SPACE}.lance" / "data").mkdir(parents=True)
    async with open_index(tmp_path) as index:
        assert await index.searcher.count("tenant") == {}
        assert await index.writer.delete(TENANT) == 0
        await index.add(record("d"))
        assert await index.ids() == ["d"]


async def test_two_databases_that_create_the_same_table_share_it(tmp_path: Path) -> None:
    first, second = Tables(tmp_path), Tables(tmp_path)
    await asyncio.gather(first.connect(), second.connect())
    await asyncio.gather(first.find_or_create(SPACE, 8), second.find_or_create(SPACE, 8))
    assert await first.spaces() == await second.spaces() == [SPACE]
    lease = FolderLease(tmp_path, address="")
    await lease.acquire()
    writer = IndexWriter(first, lease)
    await writer.start()
    await writer.write(SPACE, [record("d")])
    table = await second.find(SPACE)
    assert table is not None
    assert await table.count_rows() == 1, "what one process commits the other reads"
    await writer.stop()
    await lease.release()
    first.close()
    second.close()


async def test_deleting_an_asset_leaves_the_others(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("a1", asset_id="a"), record("b1", asset_id="b"))
        await index.writer.write("other-space", [record("a2", asset_id="a")])
        assert await index.writer.delete(Scope("tenant", asset_ids=("a", "x' OR '1'='1"))) == 2
        assert await index.searcher.count("tenant") == {SPACE: 1}
        assert await index.ids(asset_id="b") == ["b1"]


ERASING = WriterOptions(idle_s=0.05, keep_versions=timedelta(milliseconds=1))
SECRET = Scope("tenant", asset_ids=("secret-asset",))


def secret(text: str = "unmistakable") -> Record:
    return record("gone", text=text, asset_id="secret-asset")


def kept() -> list[Record]:
    """So many that of one more that is deleted the database itself would leave the bytes."""
    return [record(f"d{number}", text=f"kept{number}", asset_id="b") for number in range(200)]


def is_in_files(folder: Path, *words: str) -> bool:
    contents = [content for _, content in stored(folder) if content]
    return any(word.encode() in content for word in words for content in contents)


async def erased(folder: Path) -> None:
    await until(
        lambda: not is_in_files(folder, "unmistakable", "secret-asset"), 60, "no file holds it"
    )


async def test_of_a_deleted_document_no_file_holds_anything_soon_after(tmp_path: Path) -> None:
    async with open_index(tmp_path, ERASING) as index:
        await index.add(*kept(), secret())
        assert is_in_files(tmp_path, "unmistakable") and is_in_files(tmp_path, "secret-asset")
        assert await index.writer.delete(SECRET) == 1
        await erased(tmp_path)
        assert len(await index.ids(asset_id="b")) == 200
        assert len(await index.by_text("kept7", TENANT)) == 1


async def test_what_a_document_said_before_it_was_replaced_goes_with_it(tmp_path: Path) -> None:
    async with open_index(tmp_path, ERASING) as index:
        await index.add(*kept(), secret())
        await index.add(secret(text="another"))
        assert await index.writer.delete(SECRET) == 1
        await erased(tmp_path)


async def test_what_was_deleted_before_a_restart_is_erased_after_it(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(*kept(), secret())
        assert await index.writer.delete(SECRET) == 1
    assert is_in_files(tmp_path, "unmistakable")
    async with open_index(tmp_path, ERASING):
        await erased(tmp_path)


async def test_a_large_fragment_is_written_anew_only_when_it_is_due(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(*kept(), secret())
        assert await index.writer.delete(SECRET) == 1
        fragments = await index.tables.fragments_with_deletions(SPACE)
        table = await index.tables.open_to_write(SPACE)
        assert not await loosen(table, fragments, row_count_max=199)
        await table.optimize(cleanup_older_than=ERASING.keep_versions)
        assert is_in_files(tmp_path, "unmistakable")
    async with open_index(tmp_path, replace(ERASING, erase_rows=199, erase_s=0.2)):
        await erased(tmp_path)


async def test_documents_are_counted_by_asset_and_those_that_repeat_are_told(
    tmp_path: Path,
) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("a1", asset_id="a"), record("a2", asset_id="a"))
        await index.add(record("b1", asset_id="b"))
        await index.add(record("x1", asset_id="a", tenant_id="other"))
        table = await index.tables.find(SPACE)
        assert table is not None
        # What two writers without a lease would do.
        await table.add(to_arrow([record("b1", asset_id="b")], len(vector(1))))
        counts = await index.searcher.count_by_asset("tenant")
        assert counts == {"a": AssetCount(2, 0), "b": AssetCount(2, 1)}


async def test_small_writes_do_not_pile_up(tmp_path: Path) -> None:
    options = WriterOptions(
        compact_commits=8, compact_share=100.0, keep_versions=timedelta(milliseconds=1)
    )
    async with open_index(tmp_path, options) as index:
        for number in range(60):
            await index.add(record(f"d{number}", text=f"word{number}"))
        table = await index.tables.find(SPACE)
        assert table is not None
        for part in ("data", "_versions"):
            files = list((tmp_path / f"documents-{SPACE}.lance" / part).iterdir())
            assert len(files) <= 24, "small files are merged and old versions removed"
        assert (await table.index_stats("text_idx")).num_unindexed_rows <= 8
        assert await index.searcher.count("tenant") == {SPACE: 60}
        assert len(await index.by_text("word7", TENANT)) == 1


async def test_what_was_written_is_compacted_when_nothing_more_comes(tmp_path: Path) -> None:
    async with open_index(tmp_path, WriterOptions(idle_s=0.05)) as index:
        for number in range(3):
            await index.add(record(f"d{number}", text="bear"))
        table = await index.tables.find(SPACE)
        assert table is not None
        await table.wait_for_index(["text_idx"], timedelta(seconds=20))
        assert (await table.index_stats("text_idx")).num_unindexed_rows == 0


async def test_after_its_end_the_writer_refuses(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("d"))
        await index.writer.stop()
        with pytest.raises(Unavailable) as caught:
            await index.writer.write(SPACE, [record("e")])
        assert caught.value.reason == "INDEX_CLOSED"


async def test_a_cancelled_write_does_not_stop_the_others(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        gone = asyncio.create_task(index.writer.write(SPACE, [record("gone")]))
        kept = asyncio.create_task(index.writer.write(SPACE, [record("kept")]))
        await asyncio.sleep(0)
        gone.cancel()
        assert await kept == [None]
        assert "kept" in await index.ids()


def test_only_what_is_new_is_synced(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a").write_text("a")
    sync = FolderSync(folder)
    assert sync.sync() == 5, "a file, its two folders and the two around them"
    assert sync.sync() == 0
    (folder / "data" / "b").write_text("b")
    assert sync.sync() == 2, "the file and its folder"
    (folder / "data" / "a").write_text("longer")
    assert sync.sync() == 1, "the file"
    sync.close()


async def test_a_write_that_fails_unforeseen_ends_no_other(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index, asyncio.timeout(60):
        with pytest.raises(InternalFailure, match="INDEX_WRITE_FAILED"):
            # More than a column holds: Arrow raises what no database error is.
            await index.writer.write(SPACE, [record("bad", create_time_us=1 << 80)])
        await index.add(record("good"))
        assert await index.ids() == ["good"]
