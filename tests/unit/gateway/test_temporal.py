"""What a question asks of the order of time."""

import pytest

from services.gateway.temporal import Relation, TemporalQuestion, Track, read_temporal

SEEN, HEARD, ANY = Track.SEEN, Track.HEARD, Track.ANY


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "What is on screen while the harbour is mentioned?",
            TemporalQuestion(Relation.DURING, SEEN, "harbour", HEARD),
        ),
        (
            'What is shown when the speaker says "good morning, everyone"?',
            TemporalQuestion(Relation.DURING, SEEN, "good morning, everyone", HEARD),
        ),
        (
            "What is said when the cat appears?",
            TemporalQuestion(Relation.DURING, HEARD, "cat", SEEN),
        ),
        ("What happens first?", TemporalQuestion(Relation.FIRST, ANY)),
        ("What is the first thing that is said?", TemporalQuestion(Relation.FIRST, HEARD)),
        ("What is shown at the end?", TemporalQuestion(Relation.LAST, SEEN)),
        ("When does the rocket appear?", TemporalQuestion(Relation.AT, ANY, "rocket", SEEN)),
        (
            "At what time is the word lighthouse said?",
            TemporalQuestion(Relation.AT, ANY, "lighthouse", HEARD),
        ),
        ("What comes after the coffee?", TemporalQuestion(Relation.AFTER, ANY, "coffee", ANY)),
        (
            "What is said right before the storm is mentioned?",
            TemporalQuestion(Relation.BEFORE, HEARD, "storm", HEARD),
        ),
    ],
)
def test_questions_about_time(question: str, expected: TemporalQuestion) -> None:
    assert read_temporal(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "What animal is this?",
        "What does the sign say?",
        "What do you see when you look at this?",
        "Which picture shows a cat as well?",
        "Describe the last picture of these in a sentence, please",
        "",
        "When is " + "'a" * 3990,
    ],
)
def test_other_questions(question: str) -> None:
    assert read_temporal(question) is None
