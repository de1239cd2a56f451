"""Whether evidence tells what is asked."""

import pytest

from services.gateway.grounding import Statement, tells

NEAR, FAR = 0.5, 0.05


def test_near_evidence_tells() -> None:
    assert tells("Where will it be sunny?", [Statement("clear skies", NEAR)])


def test_shared_words_tell_whatever_the_cosine() -> None:
    assert tells("Where is the spare key?", [Statement("The spare keys hang by the door", FAR)])


def test_evidence_of_something_else_does_not() -> None:
    statements = [Statement("winds are expected on the coast", FAR), Statement("snow", FAR)]
    assert not tells("Who won the football match?", statements)
    assert not tells("Who won the football match?", [])


@pytest.mark.parametrize(
    "question",
    [
        "What is shown here?",
        "Describe this in detail.",
        "What happens?",
        "Summarise the recording.",
    ],
)
def test_a_question_without_words_of_its_own_asks_for_whatever_there_is(question: str) -> None:
    assert tells(question, [Statement("espresso", FAR)])
    assert not tells(question, [])
