"""The budget: the best evidence, in the order of time."""

from hypothesis import given
from hypothesis import strategies as st

from services.fuse.budget import Candidate, estimate_tokens, select


def test_tokens_are_estimated_at_three_bytes() -> None:
    assert [estimate_tokens(text) for text in ("", "a", "abc", "abcd", "日本")] == [0, 1, 1, 2, 2]


def test_all_that_fits_is_kept() -> None:
    candidates = [Candidate("a", 10, 0.5), Candidate("b", 10, 0.5)]
    assert select(candidates, 1, 20).indices == (0, 1)
    assert select(candidates, 1, 20).prefix_kept


def test_the_heaviest_win_and_stay_in_order() -> None:
    candidates = [Candidate("a", 10, w) for w in (0.1, 0.3, 0.05, 0.35, 0.2)]
    assert select(candidates, 0, 30).indices == (1, 3, 4)


def test_the_sent_prefix_is_kept_when_the_best_fits_beside_it() -> None:
    candidates = [Candidate("a", 10, w) for w in (0.3, 0.04, 0.5, 0.06, 0.1)]
    selection = select(candidates, 2, 40)
    assert selection.prefix_kept
    assert selection.indices == (0, 1, 2, 4)


def test_the_sent_prefix_is_dropped_when_it_crowds_out_the_answer() -> None:
    candidates = [Candidate("a", 10, w) for w in (0.01, 0.01, 0.01, 0.9, 0.07)]
    selection = select(candidates, 3, 30)
    assert not selection.prefix_kept
    assert {3, 4} <= set(selection.indices)


def test_each_asset_is_seen_even_where_another_weighs_more() -> None:
    candidates = [
        Candidate("photo", 10, 0.01),
        *(Candidate("video", 10, 0.3) for _ in range(3)),
        Candidate("speech", 10, 0.02),
    ]
    selection = select(candidates, 0, 30)
    assert {candidates[index].asset_id for index in selection.indices} == {
        "photo",
        "video",
        "speech",
    }


@given(
    st.lists(
        st.builds(Candidate, st.sampled_from("abc"), st.integers(1, 40), st.floats(0, 1)),
        max_size=30,
    ),
    st.integers(1, 200),
    st.integers(0, 30),
)
def test_a_selection_fits_is_ordered_and_tells_the_truth_of_the_prefix(
    candidates: list[Candidate], budget: int, sent: int
) -> None:
    sent_count = total = 0
    for candidate in candidates[:sent]:
        total += candidate.token_count
        if total > budget:
            break
        sent_count += 1
    selection = select(candidates, sent_count, budget)
    assert sum(candidates[index].token_count for index in selection.indices) <= budget
    assert list(selection.indices) == sorted(set(selection.indices))
    holds = selection.indices[:sent_count] == tuple(range(sent_count))
    assert selection.prefix_kept == holds
