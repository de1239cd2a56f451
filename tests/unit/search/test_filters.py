"""Filters: exactly the rows that have what is asked for, and never those of another tenant."""

import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.filters import Scope
from services.search.record import Record
from services.search.schema import ADDED_FIELDS, COLUMNS, KEY, to_arrow
from services.search.tables import Tables
from tests.unit.search.builders import DIMENSION, SPACE, ids, open_index, record

US = 1_000_000

# What a careless filter would trip over, besides any other text.
_WORDS = st.sampled_from(
    ["a", "A", "a'", "''", "' OR '1'='1", "x') OR ('1'='1", "a, b", "[a]", "a=b", "%", "_", "\\"]
) | st.text(max_size=4)
_TENANTS = st.sampled_from(["acme", "acme2", "ACME"])
_METADATA = st.dictionaries(st.sampled_from(["k", "k.a", "k-a"]), _WORDS, max_size=2)
_TIMES = st.integers(0, 3).map(lambda second: second * US)
_LISTS = st.lists(_WORDS, max_size=2)

_ROWS = st.lists(
    st.tuples(_TENANTS, _WORDS, _WORDS, _LISTS, _METADATA, _TIMES), min_size=1, max_size=6
)
_SCOPES = st.builds(
    Scope,
    tenant_id=_TENANTS | st.just("acme' OR tenant_id <> '"),
    asset_ids=_LISTS,
    excluded_asset_ids=_LISTS,
    user_id=_WORDS | st.just(""),
    tags=_LISTS,
    metadata=_METADATA.map(lambda pairs: tuple(pairs.items())),
    create_time_min_us=st.none() | _TIMES,
    create_time_max_us=st.none() | _TIMES,
)


def has_all(row: Record, scope: Scope) -> bool:
    """What a filter means."""
    time_us = row.create_time_us or 0
    return (
        row.tenant_id == scope.tenant_id
        and (not scope.asset_ids or row.asset_id in scope.asset_ids)
        and row.asset_id not in scope.excluded_asset_ids
        and (not scope.user_id or row.user_id == scope.user_id)
        and set(scope.tags) <= set(row.tags)
        and all(row.metadata.get(key) == value for key, value in scope.metadata)
        and (scope.create_time_min_us is None or time_us >= scope.create_time_min_us)
        and (scope.create_time_max_us is None or time_us < scope.create_time_max_us)
    )


@settings(max_examples=20)
@given(rows=_ROWS, scopes=st.lists(_SCOPES, min_size=1, max_size=8))
async def test_no_string_widens_a_scope_or_misses_its_rows(
    rows: list[tuple[str, str, str, list[str], dict[str, str], int]], scopes: list[Scope]
) -> None:
    records = [
        record(
            f"d{number}",
            tenant_id=tenant,
            asset_id=asset_id,
            user_id=user_id,
            tags=tuple(tags),
            metadata=metadata,
            create_time_us=time_us,
            text="bear",
        )
        for number, (tenant, asset_id, user_id, tags, metadata, time_us) in enumerate(rows)
    ]
    with tempfile.TemporaryDirectory() as folder:
        async with open_index(Path(folder)) as index:
            await index.add(*records)
            for scope in scopes:
                expected = sorted(row.document_id for row in records if has_all(row, scope))
                assert sorted(ids(await index.by_vector("d0", scope, 100))) == expected
                assert sorted(ids(await index.by_text("bear", scope, 100))) == expected
            for row in records:
                listed = await index.searcher.list_assets(SPACE, row.tenant_id, [row.asset_id])
                (read,) = [each for each in listed if each.document_id == row.document_id]
                assert (read.tags, read.metadata) == (row.tags, row.metadata)


async def test_a_table_of_an_earlier_version_gets_the_columns_that_it_lacks(
    tmp_path: Path,
) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("new", text="bear"))
    added = [field.name for field in ADDED_FIELDS]
    rows = to_arrow([record("old", text="bear")], DIMENSION)
    tables = Tables(tmp_path)
    await tables.connect()
    await tables._connection.drop_table(f"documents-{SPACE}")
    await tables._connection.create_table(f"documents-{SPACE}", data=rows.drop_columns(added))
    tables.close()
    async with open_index(tmp_path) as index:
        await index.add(record("newer", text="bear", metadata={"k": "v"}, perceptual_hash=2**63))
        assert sorted(ids(await index.by_text("bear", Scope("tenant")))) == ["newer", "old"]
        with_pair = Scope("tenant", metadata=(("k", "v"),))
        (hit,) = await index.by_text("bear", with_pair)
        assert (hit.record.document_id, hit.record.metadata) == ("newer", {"k": "v"})
        assert hit.record.perceptual_hash == 2**63
        table = await index.tables.find(SPACE)
        assert table is not None
        assert pa.schema(await table.schema()).names == [KEY, *COLUMNS]
