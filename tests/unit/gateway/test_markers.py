"""What names no evidence of the turn is taken out of an answer, however the answer comes."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.gateway.markers import MARKER, Markers, keys_of

GIVEN = frozenset({"1", "2", "12"})
EVERY = frozenset(f"{number:0{width}}" for width in range(1, 5) for number in range(10**width))


def shown(*pieces: str, given: frozenset[str] = GIVEN) -> str:
    markers = Markers(given)
    return "".join([*map(markers.add, pieces), markers.rest()])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A cat [1].", "A cat [1]."),
        ("A cat [9].", "A cat."),
        ("A cat[9] sits [2] there [0].", "A cat sits [2] there."),
        ("[9] A cat.", " A cat."),
        ("A cat [1, 9].", "A cat [1]."),
        ("A cat [9 , 2,12].", "A cat [2, 12]."),
        ("A cat [7, 8].", "A cat."),
        ("A cat [1][9][2].", "A cat [1][2]."),
        # No markers: more digits than keys have, words, a list without end.
        ("In [2024a], [12345], [a], [], [9", "In [2024a], [12345], [a], [], [9"),
        ("See [text](url), [ 9 ].", "See [text](url), [ 9 ]."),
        # Code: a number in brackets is an index.
        ("Take `x[9]` and x [9].", "Take `x[9]` and x."),
        ("```\nx[9] = `y`[8]\n```\nSo [9].", "```\nx[9] = `y`[8]\n```\nSo."),
        ("It`s\nhere [9].", "It`s\nhere."),
    ],
)
def test_a_marker_stays_where_it_names_what_was_given(answer: str, expected: str) -> None:
    assert shown(answer) == expected
    assert shown(*answer) == expected


answers = st.text(alphabet="a [1]29,`\n.", max_size=40) | st.lists(
    st.sampled_from(["[1]", " [9]", "[1, 9]", "[9,8]", "[", "]", " ", "`", "```", "\n", "cat", "1"])
).map("".join)


@given(answers, st.lists(st.integers(1, 6)))
def test_what_is_shown_does_not_depend_on_the_pieces(answer: str, lengths: list[int]) -> None:
    pieces, at = [], 0
    for length in lengths:
        pieces.append(answer[at : at + length])
        at += length
    assert shown(*pieces, answer[at:]) == shown(answer)


@given(answers)
def test_no_marker_of_nothing_is_left_outside_of_code(answer: str) -> None:
    assume("`" not in answer and not re.search(r"\[[^]]*\[", answer))
    left = shown(answer)
    assert all(key in GIVEN for found in MARKER.findall(left) for key in keys_of(found))
    assert shown(answer, given=EVERY) == answer


@given(answers)
def test_hardly_anything_is_held_back(answer: str) -> None:
    markers = Markers(EVERY)
    came = out = ""
    for character in answer:
        came += character
        out += markers.add(character)
        held = came.removeprefix(out)
        assert out + held == came
        assert re.fullmatch(r"`*| ?(\[[\d, ]*)?", held)
    assert out + markers.rest() == answer
