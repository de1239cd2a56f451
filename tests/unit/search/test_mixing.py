"""Mixes of several things that are looked for, and their pages."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.errors import InvalidInput
from services.search.filters import Scope
from services.search.mixing import WeightedText, WeightedVector, mix
from services.search.query import Query
from services.search.ranking import RRF_CONSTANT, Hit, Ranked, by_similarity, fuse_ranks
from tests.unit.search.builders import SPACE, ids, open_index, record, vector

TENANT = Scope("tenant")
_WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=5)
_RECORDS = [record(f"d{number:02}", seed=number) for number in range(40)]
_WORDS = ("bear", "river", "bear river", "stone", "")


@given(weights=_WEIGHTS, scale=st.floats(1e-3, 1e3))
def test_a_mix_orders_by_the_weighed_mean_of_the_similarities(
    weights: list[float], scale: float
) -> None:
    parts = [WeightedVector(vector(f"q{i}"), weight) for i, weight in enumerate(weights)]
    hits = by_similarity(_RECORDS, mix(parts))
    for hit in hits:
        cosines = [float(part.vector @ hit.record.vector) for part in parts]
        assert hit.similarity == pytest.approx(np.average(cosines, weights=weights), abs=1e-5)
    # What lies closer together than rounding errors is ordered by id.
    similarities = [hit.similarity for hit in hits]
    assert all(better > worse - 1e-6 for better, worse in pairwise(similarities))
    scaled = mix([WeightedVector(part.vector, scale * part.weight) for part in parts])
    assert ids(by_similarity(_RECORDS, scaled)) == ids(hits)


@given(weights=st.lists(st.floats(0.01, 100), min_size=2, max_size=4), scale=st.floats(1e-3, 1e3))
def test_fusion_weighs_its_lists_and_only_their_ratios_count(
    weights: list[float], scale: float
) -> None:
    chance = np.random.default_rng(len(weights))
    lists = [
        [Hit(_RECORDS[i], 0.0, 0.0) for i in chance.permutation(len(_RECORDS))[:20]]
        for _ in weights
    ]
    fused = fuse_ranks([Ranked(h, w) for h, w in zip(lists, weights, strict=True)], None)
    for hit in fused:
        score = sum(
            weight / (RRF_CONSTANT + 1 + ranked.index(hit.record))
            for weight, hits in zip(weights, lists, strict=True)
            for ranked in ([each.record for each in hits],)
            if hit.record in ranked
        )
        assert hit.score == pytest.approx(score / max(weights))
    scaled = fuse_ranks([Ranked(h, scale * w) for h, w in zip(lists, weights, strict=True)], None)
    assert [hit.score for hit in scaled] == pytest.approx([hit.score for hit in fused])


def test_parts_that_leave_nothing_are_refused() -> None:
    opposed = [WeightedVector(vector(1)), WeightedVector(-vector(1))]
    with pytest.raises(InvalidInput) as caught:
        mix(opposed)
    assert caught.value.reason == "PARTS_OPPOSED"


@settings(max_examples=10)
@given(
    seeds=st.lists(st.integers(0, 6), min_size=5, max_size=60),
    size=st.integers(1, 9),
    by_words=st.booleans(),
    by_vector=st.booleans(),
    similarity_min=st.none() | st.floats(-0.5, 0.5),
)
async def test_the_pages_of_a_query_neither_repeat_nor_omit(
    seeds: list[int], size: int, by_words: bool, by_vector: bool, similarity_min: float | None
) -> None:
    """Of few different vectors and texts, so that most documents are equal to others."""
    vectors = [WeightedVector(vector(0))] if by_vector or not by_words else []
    texts = [WeightedText("bear"), WeightedText("stone", 0.5)] if by_words else []

    def query(top_k: int, offset: int = 0) -> Query:
        return Query(TENANT, vectors, texts, top_k, offset, similarity_min)

    with tempfile.TemporaryDirectory() as folder:
        async with open_index(Path(folder)) as index:
            await index.add(
                *(
                    record(f"d{number:03}", seed=seed, text=_WORDS[seed % len(_WORDS)])
                    for number, seed in enumerate(seeds)
                )
            )
            whole = ids(await index.searcher.search(SPACE, query(100)))
            assert len(set(whole)) == len(whole)
            paged: list[str] = []
            for offset in range(0, len(seeds) + size, size):
                paged += ids(await index.searcher.search(SPACE, query(size, offset)))
            assert paged == whole
            if similarity_min is None and vectors:
                assert len(whole) == len(seeds)
