"""The error rates of words and characters count what is wrong, missing and invented."""

import pytest

from tests.bench.benchmarks.reading import character_error_rate
from tests.bench.benchmarks.speech import word_error_rate, words


@pytest.mark.parametrize(
    ("heard", "errors"),
    [
        ("The cat sat down.", 0),
        ("the bat sat down", 1),
        ("the cat down", 1),
        ("well the cat sat right down", 2),
        ("", 4),
    ],
)
def test_word_error_rate(heard: str, errors: int) -> None:
    assert word_error_rate(words("The cat sat down!"), words(heard)) == errors / 4


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("A loan of nine thousand pounds.", "a loan of £9,000"),
        ("On the third of March, thirty eight of them", "On the 3rd of March, 38 of them"),
        ("Mr. Patel's grey harbour", "Mister Patel's gray harbor"),
    ],
)
def test_another_spelling_is_no_error(said: str, heard: str) -> None:
    assert word_error_rate(words(said), words(heard)) == 0


@pytest.mark.parametrize(
    ("read", "errors"), [("TOTAL 24.97", 0), ("TOTAL  24.97\n", 0), ("T0TAL 24.9", 2), ("", 11)]
)
def test_character_error_rate(read: str, errors: int) -> None:
    assert character_error_rate("TOTAL 24.97", read) == errors / 11
