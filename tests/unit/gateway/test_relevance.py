"""Relevance: rises with the similarity, and a threshold on it is one on the similarity."""

from hypothesis import given
from hypothesis import strategies as st
from sensorium.media.v1 import evidence_pb2

from services.gateway.relevance import CURVES, Found, Sought, relevance, similarity_at
from services.gateway.search import FOUND

_SOUGHT = st.lists(st.tuples(st.sampled_from(Sought), st.floats(0.01, 10)), min_size=1, max_size=3)
_SIMILARITY = st.floats(-1, 1)


@given(
    sought=_SOUGHT,
    found=st.sampled_from(Found),
    one=_SIMILARITY,
    other=_SIMILARITY,
    scale=st.floats(0.01, 100),
)
def test_it_rises_with_the_similarity_and_only_ratios_of_weights_count(
    sought: list[tuple[Sought, float]], found: Found, one: float, other: float, scale: float
) -> None:
    lower, higher = (relevance(each, found, sought) for each in sorted((one, other)))
    assert 0 <= lower <= higher + 1e-9 <= 1 + 1e-9
    scaled = relevance(one, found, [(kind, weight * scale) for kind, weight in sought])
    assert abs(scaled - relevance(one, found, sought)) < 1e-9


@given(
    sought=_SOUGHT,
    found=st.sampled_from(Found),
    similarity=_SIMILARITY,
    least=st.floats(0.01, 0.99),
)
def test_nothing_that_is_relevant_enough_is_below_the_similarity_of_the_threshold(
    sought: list[tuple[Sought, float]], found: Found, similarity: float, least: float
) -> None:
    if relevance(similarity, found, sought) >= least:
        assert similarity >= similarity_at(least, (kind for kind, _ in sought)) - 1e-9


def test_every_curve_separates() -> None:
    for curve in CURVES.values():
        assert curve.slope > 0
        assert -1 < curve.middle < 1


def test_every_origin_has_a_curve() -> None:
    assert set(FOUND) == set(evidence_pb2.EvidenceOrigin.values())
