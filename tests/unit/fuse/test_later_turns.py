"""What the language model read in earlier turns stays, and only what a question needs is added."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.fuse.budget import (
    KEPT_PREFIX_SHARE,
    KEPT_TOKENS_MAX,
    Candidate,
    extend,
)
from services.fuse.model import Origin
from services.fuse.session import Fused, FuseOptions, FusionSession, Part
from tests.unit.fuse.builders import note, passage, piece, unit

BUDGET = 640


def fuse(texts: dict[str, float], earlier: Sequence[Part] = (), budget: int = BUDGET) -> Fused:
    """A note of some passages, each with its cosine to the question."""
    fusion = FusionSession(FuseOptions(budget, 0.1, tuple(earlier)))
    book = note()
    for index, (text, cosine) in enumerate(texts.items()):
        vector = unit(cosine, (1 - cosine**2) ** 0.5)
        fusion.add_recalled(book, piece(passage(book, index), Origin.PASSAGE, text, vector=vector))
    return fusion.finish(unit(1, 0))


def test_what_was_read_keeps_its_key_and_is_not_given_again() -> None:
    first = fuse({"red": 0.5, "blue": 0.5})
    later = fuse({"red": 0.5, "green": 0.5, "blue": 0.5}, first.parts)
    assert later.prefix_kept
    assert [part.citation_key for part in first.parts] == ["1", "2"]
    assert [part.words.split()[-1] for part in later.parts] == ["green"]
    assert [weighed.citation_key for weighed in later.evidence] == ["1", "3", "2"]
    assert all(weighed.in_context for weighed in later.evidence)


def test_nothing_is_added_that_weighs_little_beside_what_was_read() -> None:
    first = fuse({"red": 0.9})
    later = fuse({"red": 0.9, "grey": 0.0}, first.parts)
    assert later.prefix_kept
    assert later.parts == ()
    assert [weighed.in_context for weighed in later.evidence] == [True, False]


def test_where_something_read_is_evidence_no_more_all_is_read_anew() -> None:
    first = fuse({"red": 0.5, "blue": 0.5})
    later = fuse({"blue": 0.5, "green": 0.5}, first.parts)
    assert not later.prefix_kept
    assert [part.citation_key for part in later.parts] == ["1", "2"]
    assert later.parts == fuse({"blue": 0.5, "green": 0.5}).parts


def test_the_same_words_twice_are_two_lines() -> None:
    first = fuse({"red": 0.5})
    twice = (*first.parts, Part("2", first.parts[0].text.replace("[1]", "[2]")))
    assert not fuse({"red": 0.5}, twice).prefix_kept


@given(
    st.lists(
        st.builds(Candidate, st.sampled_from("abc"), st.integers(1, 300), st.floats(0, 1)),
        min_size=1,
        max_size=30,
    ),
    st.integers(64, 1000),
    st.data(),
)
def test_an_extension_holds_what_was_read_and_what_is_best(
    candidates: list[Candidate], budget: int, data: st.DataObject
) -> None:
    indices = st.integers(0, len(candidates) - 1)
    had = frozenset(data.draw(st.sets(indices)))
    extended = extend(candidates, had, budget)
    fresh = extend(candidates, frozenset(), budget)
    if extended is None:
        return
    assert extended.prefix_kept
    assert had <= set(extended.indices)
    assert list(extended.indices) == sorted(extended.indices)
    taken = sum(candidates[index].token_count for index in extended.indices)
    assert taken <= max(budget, KEPT_TOKENS_MAX)
    assert fresh is not None
    weight = sum(candidates[index].weight for index in extended.indices)
    free = sum(candidates[index].weight for index in fresh.indices)
    assert weight >= KEPT_PREFIX_SHARE * free * (1 - 1e-9)
