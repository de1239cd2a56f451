"""What a question asks for."""

import pytest

from services.gateway.question import check_question, needs_writing
from services.runtime.errors import InvalidInput, LimitExceeded


@pytest.mark.parametrize(
    "question",
    [
        "What does the sign say?",
        "What is the TOTAL on the receipt?",
        "Read it to me",
        "Which date?",
    ],
)
def test_questions_about_writing_wait_for_ocr(question: str) -> None:
    assert needs_writing(question)


@pytest.mark.parametrize("question", ["What animal is this?", "What is happening?", "", "Describe"])
def test_other_questions_do_not(question: str) -> None:
    assert not needs_writing(question)


def test_a_question_is_required() -> None:
    with pytest.raises(InvalidInput, match="QUESTION_MISSING"):
        check_question("  \n", 100)


def test_a_question_has_a_limit_that_is_told() -> None:
    with pytest.raises(LimitExceeded, match="101 characters; at most 100"):
        check_question("x" * 101, 100)
