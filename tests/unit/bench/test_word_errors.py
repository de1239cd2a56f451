"""The word error rate counts what is wrong, missing and invented."""

import pytest

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
