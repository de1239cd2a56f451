"""Indexes: built by size, kept in step, and never a reason to miss a row."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.erasure import loosen
from services.search.filters import Scope
from services.search.indexes import (
    PROBES_MIN,
    SCALAR_KINDS,
    Index,
    IndexPolicy,
    Size,
    choose_probe,
    superseded,
    vector_index,
)
from services.search.record import Record
from services.search.schema import TEXT, VECTOR
from services.search.tables import indexes_of
from services.search.writer import WriterOptions
from tests.unit.search.builders import SPACE, ids, open_index, record, vector
from tests.unit.search.builders import Index as OpenIndex

TENANT = Scope("tenant")
TEXT_INDEX = Index("text_idx", TEXT)

# So low that small tables are indexed too, after each commit.
EARLY = WriterOptions(
    compact_commits=1,
    compact_share=1000.0,
    indexes=IndexPolicy(rows_min=200, partition_rows=50, growth_max=3),
)


async def built(index: OpenIndex) -> dict[str, Index]:
    """The indexes of the table by their column, once nothing is being built."""
    async with asyncio.timeout(60):
        # Goes through the queue behind what was written, and the compaction after it.
        await index.writer.write(SPACE, [])
        while index.writer.building(SPACE):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    table = await index.tables.find(SPACE)
    return {each.column: each for each in await indexes_of(table)}


def test_a_small_table_gets_no_index() -> None:
    assert IndexPolicy().missing(IndexPolicy().rows_min - 1, [TEXT_INDEX]) == []


def test_a_large_table_gets_what_it_lacks_and_only_that() -> None:
    policy = IndexPolicy()
    missing = policy.missing(500_000, [TEXT_INDEX])
    assert {each.column for each in missing} == {*SCALAR_KINDS, VECTOR}
    assert policy.missing(500_000, [TEXT_INDEX, *missing]) == []
    assert policy.missing(500_000, [TEXT_INDEX, *missing[1:]]) == missing[:1]


def test_the_index_on_vectors_is_built_anew_when_the_table_has_outgrown_it() -> None:
    policy = IndexPolicy()
    first = policy.missing(50_000, [])
    assert first[-1].partition_count == 12
    assert policy.missing(98_000, first) == []
    (later,) = policy.missing(100_000, first)
    assert later.partition_count == 24
    assert superseded([*first, later]) == [first[-1]]
    assert superseded([*first]) == []


def test_the_fewer_rows_a_scope_has_the_more_of_the_index_is_read() -> None:
    """Until reading the scope itself takes less."""
    counts = (500_000, 250_000, 50_000, 5_000)
    probes = [choose_probe(Size(500_000, count, 122), limit=26) for count in counts]
    partitions = [probe.partition_count for probe in probes if probe]
    assert partitions[:3] == [10, 20, 98]
    assert partitions[3] > 122, "all of them"
    whole = choose_probe(Size(500_000, 500_000, 61), limit=26)
    assert whole is not None
    assert whole.partition_count == PROBES_MIN
    assert choose_probe(Size(500_000, 1_900, 122), limit=26) is None
    assert choose_probe(Size(20_000, 300, 4), limit=26) is None, "all are candidates in any case"


async def test_indexes_come_with_size_and_the_vectors_are_indexed_anew(tmp_path: Path) -> None:
    async with open_index(tmp_path, EARLY) as index:
        await index.add(*(record(f"d{number}") for number in range(199)))
        assert set(await built(index)) == {TEXT}
        await index.add(record("one more"))
        first = await built(index)
        assert set(first) == {TEXT, VECTOR, *SCALAR_KINDS}
        assert first[VECTOR] == vector_index(4)
        await index.add(*(record(f"e{number}") for number in range(400)))
        assert (await built(index))[VECTOR] == vector_index(12)
        table = await index.tables.find(SPACE)
        assert table is not None
        assert len(await indexes_of(table)) == len(first), "the old one is gone"


async def test_a_table_of_an_earlier_version_is_indexed_when_it_is_opened(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(*(record(f"d{number}") for number in range(200)))
        assert set(await built(index)) == {TEXT}
    async with open_index(tmp_path, EARLY) as index:
        assert set(await built(index)) == {TEXT, VECTOR, *SCALAR_KINDS}


async def test_all_indexes_are_kept_in_step(tmp_path: Path) -> None:
    async with open_index(tmp_path, EARLY) as index:
        await index.add(*(record(f"d{number}") for number in range(200)))
        names = [each.name for each in (await built(index)).values()]
        await index.add(*(record(f"e{number}") for number in range(50)))
        await built(index)
        table = await index.tables.find(SPACE)
        assert table is not None
        for name in names:
            statistics = await table.index_stats(name)
            assert statistics.num_indexed_rows == 250, name
            assert statistics.num_unindexed_rows == 0, name


async def test_rows_are_written_and_found_while_an_index_is_built(tmp_path: Path) -> None:
    async with open_index(tmp_path, EARLY) as index:
        await index.add(*(record(f"d{number}") for number in range(200)))
        meanwhile = 0
        while index.writer.building(SPACE) or meanwhile < 5:
            name = f"meanwhile{meanwhile}"
            await index.add(record(name))
            assert ids(await index.by_vector(name, TENANT, top_k=1)) == [name]
            meanwhile += 1
        assert VECTOR in await built(index)
        assert await index.searcher.count("tenant") == {SPACE: 200 + meanwhile}


async def test_what_is_left_of_a_fragment_stays_indexed_while_rows_are_erased(
    tmp_path: Path,
) -> None:
    rows = [f"a{number}" for number in range(400)]
    async with open_index(tmp_path, EARLY) as index:
        await _add(index, "a", rows)
        names = [each.name for each in (await built(index)).values()]
    async with open_index(tmp_path) as index:
        await index.writer.delete(Scope("a", asset_ids=["a0"]))
        fragments = await index.tables.fragments_with_deletions(SPACE)
        table = await index.tables.open_to_write(SPACE)
        assert await loosen(table, fragments, row_count_max=400)
        for name in names:
            statistics = await table.index_stats(name)
            assert 0 < statistics.num_unindexed_rows <= 51, name
        await table.optimize()
        for name in names:
            assert (await table.index_stats(name)).num_indexed_rows == 399, name
        for seed in range(5):
            found = ids(await index.by_vector(seed, Scope("a"), top_k=399))
            cosines = {name: float(vector(name) @ vector(seed)) for name in rows[1:]}
            assert found == sorted(cosines, key=lambda name: -cosines[name])


_SIZES = st.integers(30, 600)
_MISSED_MAX = 3


@settings(max_examples=6)
@given(
    sizes=st.tuples(_SIZES, _SIZES, _SIZES),
    late=st.integers(0, 20),
    deleted=st.integers(0, 10),
    seed=st.integers(0, 1000),
)
async def test_an_indexed_table_answers_almost_as_an_exact_search_would(
    sizes: tuple[int, int, int], late: int, deleted: int, seed: int
) -> None:
    """Whatever was written before and after the build and deleted since, of each
    tenant: its own nearest in their order, and nobody else's."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_index(Path(folder), EARLY) as index:
            rows = {
                tenant: [f"{tenant}{number}" for number in range(size)]
                for tenant, size in zip("abc", sizes, strict=True)
            }
            for tenant, names in rows.items():
                await _add(index, tenant, names)
            columns = set(await built(index))
            assert (VECTOR in columns) == (sum(sizes) >= EARLY.indexes.rows_min)
            for tenant in "ab":
                # The same assets of both; one tenant deletes them.
                new = [f"{tenant}late{number}" for number in range(late)]
                await _add(index, tenant, new)
                rows[tenant] += new
            gone = rows["a"][:deleted]
            if gone:
                assert await index.writer.delete(Scope("a", asset_ids=gone)) == len(gone)
            rows["a"] = rows["a"][deleted:]
            for tenant, names in rows.items():
                found = ids(await index.by_vector(seed, Scope(tenant), top_k=10))
                cosines = {name: float(vector(name) @ vector(seed)) for name in names}
                nearest = sorted(names, key=lambda name: -cosines[name])
                assert found == [name for name in nearest if name in found]
                # Of a large scope the candidates are chosen by one bit a dimension, and the
                # vectors here have eight: of a thousand answers ten lack one, and one two.
                assert len(found) == min(10, len(names))
                assert len({*found} & {*nearest[:10]}) >= len(found) - _MISSED_MAX
                odd = sorted(name for name in names if _is_odd(name))
                for scope in _odd_scopes(tenant, excluded=names[:1]):
                    found = ids(await index.by_vector(seed, scope, top_k=700))
                    left_out = scope.excluded_asset_ids
                    assert sorted(found) == [name for name in odd if name not in left_out]


def _odd_scopes(tenant: str, excluded: list[str]) -> list[Scope]:
    """The same rows by each of the filters."""
    return [
        Scope(tenant, modalities=("image",)),
        Scope(tenant, user_id="odd", excluded_asset_ids=excluded),
        Scope(tenant, tags=("odd",)),
        Scope(tenant, metadata=(("parity", "odd"),)),
        Scope(tenant, create_time_min_us=1_500_000, create_time_max_us=2_500_000),
    ]


async def _add(index: OpenIndex, tenant: str, names: list[str]) -> None:
    await index.add(*(_numbered(tenant, name) for name in names))


def _numbered(tenant: str, name: str) -> Record:
    odd = _is_odd(name)
    return record(
        name,
        tenant_id=tenant,
        asset_id=name,
        modality="image" if odd else "video",
        user_id="odd" if odd else "even",
        tags=("odd", "all") if odd else ("all",),
        metadata={"parity": "odd"} if odd else {},
        create_time_us=2_000_000 if odd else 1_000_000,
    )


def _is_odd(name: str) -> bool:
    return int(name[-1]) % 2 == 1
