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
        "What is on screen at 10 seconds?",
        "What happens in the film at the 1:30 mark?",
    ],
)
def test_a_question_without_words_of_its_own_asks_for_whatever_there_is(question: str) -> None:
    assert tells(question, [Statement("espresso", FAR)])
    assert not tells(question, [])


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("What is said?", False),
        ("What does the man talk about?", False),
        ("Who is speaking?", False),
        ("What do you hear in this recording?", False),
        ("What is the old man talking about in the film?", False),
        ("What language is spoken at the end of the video?", False),
        ("What is being said at 0:10?", False),
        ("What is said and what is shown?", True),
        ("What is seen, and what is said?", True),
        ("What does the sign say?", True),
        ("What happens?", True),
        ("What colour is the shirt of the man who is speaking?", True),
        ("What is the person who is talking holding?", True),
        ("What language is spoken on the poster?", True),
        ("What is said in the subtitles?", True),
        ("What is the speaker wearing while she talks?", True),
    ],
)
def test_what_is_said_in_a_film_is_not_told_by_what_it_shows(question: str, told: bool) -> None:
    page = Statement("a sign: stop", NEAR, is_shown=True)
    assert tells(question, [page]) is told
    assert tells(question, [page, Statement("good evening", FAR)])
