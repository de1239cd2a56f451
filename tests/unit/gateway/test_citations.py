"""Which evidence an answer cites."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.citations import Basis, Candidate, cite, sentences

CAT = Candidate("1", "photo", "tabby cat (cat, animal)", 0.5)
TRAIN = Candidate("2", "call", "the next train to Lisbon leaves at noon", 0.3)
BEAR = Candidate("3", "clip", "brown bear (bear, animal)", 0.2)
ALL = [CAT, TRAIN, BEAR]


def by_key(answer: str) -> dict[str, Basis]:
    return {cited.key: cited.basis for cited in cite(answer, ALL)}


def test_a_marker_counts_where_it_names_evidence() -> None:
    cited = cite("There is an animal asleep [1]. Nobody knows why [9].", ALL)
    assert (cited[0].key, cited[0].basis) == ("1", Basis.MARKER)
    assert cited[0].answer_range == (0, 30)
    assert "9" not in {each.key for each in cited}


def test_several_keys_in_one_marker() -> None:
    assert by_key("All of it [1, 2].")["2"] is Basis.MARKER


def test_words_in_common_make_a_match() -> None:
    assert by_key("You hear that trains leave for Lisbon.")["2"] is Basis.MATCH


def test_no_word_in_common_makes_none() -> None:
    assert by_key("It is a sunny day.") == {
        "1": Basis.WEIGHT,
        "2": Basis.WEIGHT,
        "3": Basis.WEIGHT,
    }


def test_every_asset_is_represented_by_its_weightiest_evidence() -> None:
    second = Candidate("4", "clip", "rabbit", 0.6)
    cited = {each.key: each.basis for each in cite("A cat.", [*ALL, second])}
    assert cited == {"1": Basis.MATCH, "4": Basis.WEIGHT, "2": Basis.WEIGHT}


def test_a_digit_is_a_word() -> None:
    receipt = Candidate("1", "receipt", "TOTAL 12.50 EUR", 1.0)
    assert cite("It cost 12.50.", [receipt])[0].basis is Basis.MATCH


@given(st.text(alphabet="abc [1]23,.!?\n ", max_size=200))
def test_citations_are_known_unique_and_within_the_answer(answer: str) -> None:
    cited = cite(answer, ALL)
    keys = [each.key for each in cited]
    assert len(keys) == len(set(keys))
    assert set(keys) <= {"1", "2", "3"}
    for each in cited:
        if each.answer_range:
            start, end = each.answer_range
            assert 0 <= start < end <= len(answer)
        assert (each.answer_range is None) == (each.basis is Basis.WEIGHT)


@given(st.text(max_size=200))
def test_sentences_do_not_overlap(answer: str) -> None:
    ranges = sentences(answer)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(ranges))
