"""Finding: the right documents, of the right tenant, in the same order each time."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.errors import InvalidInput
from services.search.filters import Scope, quote
from services.search.mixing import Direction, WeightedVector
from services.search.query import Query
from services.search.ranking import RRF_CONSTANT, Hit, Ranked, fuse_ranks
from services.search.tables import check_space
from tests.unit.search.builders import SPACE, ids, near, open_index, record, vector

TENANT = Scope("tenant")


async def test_before_anything_is_indexed_nothing_is_found(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        assert await index.by_vector(1, TENANT) == []
        assert await index.by_text("bear", TENANT) == []
        assert await index.ids() == []
        assert await index.searcher.count("tenant") == {}
        assert await index.writer.delete(TENANT) == 0


async def test_the_nearest_come_first_with_their_cosine(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(*(record(f"d{number}", seed=number) for number in range(50)))
        hits = await index.by_vector(7, TENANT, top_k=5)
    exact = {f"d{number}": float(vector(number) @ vector(7)) for number in range(50)}
    assert ids(hits) == sorted(exact, key=lambda name: -exact[name])[:5]
    for hit in hits:
        assert hit.similarity == hit.score == pytest.approx(exact[hit.record.document_id], abs=1e-6)


@pytest.mark.parametrize("count", [30, 200])
async def test_equal_documents_are_returned_in_the_order_of_their_ids(
    tmp_path: Path, count: int
) -> None:
    names = [f"d{number:03}" for number in range(count)]
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    async with open_index(tmp_path) as index:
        for part in range(0, count, 50):
            same = [record(name, seed=1, text="a bear") for name in shuffled[part : part + 50]]
            await index.add(*same)
        assert ids(await index.by_vector(1, TENANT, top_k=7)) == names[:7]
        assert ids(await index.by_text("bear", TENANT, top_k=7)) == names[:7]
        by_both = near(TENANT, 1, "bear", top_k=7)
        assert ids(await index.searcher.search(SPACE, by_both)) == names[:7]


async def test_text_is_found_by_its_words_at_once_and_after_compaction(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("cat", text="The cat runs"), record("dog", text="A dog sleeps"))
        table = await index.tables.find(SPACE)
        assert table is not None
        for compacted in (False, True):
            if compacted:
                await table.optimize()
            assert ids(await index.by_text("running CATS", TENANT)) == ["cat"]
            hits = await index.by_text("dog", TENANT)
            assert ids(hits) == ["dog"]
            assert hits[0].similarity == 0.0
            assert hits[0].score > 0
            assert await index.by_text('") OR text:"*', TENANT) == []


async def test_filters(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(
            record("v", modality="video", asset_id="a", user_id="ada", text="bear"),
            record("i", modality="image", asset_id="b", user_id="o'neil", text="bear"),
        )
        for scope, expected in (
            (Scope("tenant", modalities=("image",)), ["i"]),
            (Scope("tenant", modalities=("image", "video")), ["i", "v"]),
            (Scope("tenant", asset_ids=("a",)), ["v"]),
            (Scope("tenant", user_id="o'neil"), ["i"]),
            (Scope("tenant", user_id="x' OR '1'='1"), []),
            (Scope("tenant", asset_ids=("a') OR ('1'='1",)), []),
            (Scope("tenant' OR 'a'='a"), []),
            (Scope("other"), []),
        ):
            assert sorted(ids(await index.by_vector("v", scope))) == expected
            assert sorted(ids(await index.by_text("bear", scope))) == expected


async def test_a_label_counts_by_its_vector_alone_but_is_found_by_words_alone(
    tmp_path: Path,
) -> None:
    async with open_index(tmp_path) as index:
        await index.add(
            record("near", seed=1, text="nothing of note"),
            record("label", seed=2, text="bear", origin="label"),
        )
        hits = await index.searcher.search(SPACE, near(TENANT, 1, "bear"))
        only_text = await index.by_text("bear", TENANT)
    assert ids(hits) == ["near", "label"]
    assert ids(only_text) == ["label"]


async def test_both_lists_are_fused_by_rank(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(
            record("near", seed=1, text="nothing of note"),
            record("both", seed=2, text="bear"),
            *(record(f"far{number}", seed=100 + number, text="tree") for number in range(5)),
        )
        query = near(TENANT, 1, "bear")
        hits = await index.searcher.search(SPACE, query)
        only_text = await index.by_text("bear", TENANT)
    assert ids(only_text) == ["both"]
    by_id = {hit.record.document_id: hit for hit in hits}
    assert by_id["near"].score == pytest.approx(1 / (RRF_CONSTANT + 1))
    assert ids(hits)[0] == "both"
    assert by_id["both"].score > 1 / (RRF_CONSTANT + 1)
    assert by_id["both"].similarity == pytest.approx(float(vector(1) @ vector(2)), abs=1e-6)


def test_reciprocal_rank_fusion() -> None:
    first, second, third = (record(name, seed=name) for name in ("a", "b", "c"))
    by_vector = [Hit(first, 0.9, 0.9), Hit(second, 0.8, 0.8)]
    by_text = [Hit(second, 0.0, 5.0), Hit(third, 0.0, 4.0)]
    fused = fuse_ranks([Ranked(by_vector), Ranked(by_text)], Direction(vector("a")))
    assert ids(fused) == ["b", "a", "c"]
    assert [hit.score for hit in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])


async def test_a_query_of_another_length_is_refused(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        await index.add(record("d"))
        with pytest.raises(InvalidInput) as caught:
            await index.searcher.search(SPACE, Query(TENANT, [WeightedVector(vector(1)[:4])]))
        assert caught.value.reason == "DIMENSION_MISMATCH"


@pytest.mark.parametrize("space", ["", "../up", "a b", "x" * 65, "a'b", "_"])
def test_a_space_must_be_able_to_name_a_table(space: str) -> None:
    with pytest.raises(InvalidInput):
        check_space(space)


def test_quotes_are_doubled_and_nothing_else_is_touched() -> None:
    assert quote('o\'neil\\ "x"') == "'o''neil\\ \"x\"'"


# Ids that a careless filter would trip over.
_IDS = st.sampled_from(["a", "a'", "' OR '1'='1", "a\\", "a:b", "%", "_", "森", "a\n", "A"])
_TENANTS = st.sampled_from(["acme", "acme2", "ACME", "_"])


@settings(max_examples=15)
@given(
    first=_TENANTS,
    second=_TENANTS,
    first_ids=st.sets(_IDS, min_size=1, max_size=4),
    second_ids=st.sets(_IDS, min_size=1, max_size=4),
    deleted=st.sets(_IDS, max_size=3),
)
async def test_neither_tenant_sees_or_deletes_what_the_other_has(
    first: str, second: str, first_ids: set[str], second_ids: set[str], deleted: set[str]
) -> None:
    if first == second:
        second = f"{first}-"
    owned = {first: set(first_ids), second: set(second_ids)}
    with tempfile.TemporaryDirectory() as folder:
        async with open_index(Path(folder)) as index:
            for tenant, names in owned.items():
                # The same bytes and ids: only the tenant differs. Ids name assets too.
                await index.add(
                    *(
                        record(n, tenant_id=tenant, asset_id=n, seed=n, text=f"bear of {tenant}")
                        for n in sorted(names)
                    )
                )
            for step in range(2):
                for tenant, names in owned.items():
                    scope = Scope(tenant)
                    hits = await index.by_vector("a", scope, 100)
                    hits += await index.by_text("bear", scope, 100)
                    assert sorted(ids(hits)) == sorted([*names, *names])
                    assert all(hit.record.tenant_id == tenant for hit in hits)
                    for name in owned[first] | owned[second] | deleted:
                        expected = [name] if name in names else []
                        assert await index.ids(tenant, name) == expected
                    counts = await index.searcher.count(tenant)
                    assert counts.get(SPACE, 0) == len(names)
                if step == 0 and deleted:
                    scope = Scope(first, asset_ids=tuple(sorted(deleted)))
                    assert await index.writer.delete(scope) == len(owned[first] & deleted)
                    owned[first] -= deleted
