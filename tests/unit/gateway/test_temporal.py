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


@pytest.mark.parametrize(
    ("question", "relation", "target", "span_s"),
    [
        ("What is on screen at 15 seconds?", Relation.DURING, SEEN, (15, 16)),
        ("what is said at 1:30", Relation.DURING, HEARD, (90, 91)),
        ("What is said at 00:01:30.5?", Relation.DURING, HEARD, (90.5, 91.5)),
        ("At 1:02:03, what is shown?", Relation.DURING, SEEN, (3723, 3724)),
        ("What happens at the 20 second mark?", Relation.DURING, ANY, (20, 21)),
        ("What happens at minute 2?", Relation.DURING, ANY, (120, 121)),
        ("Who speaks around one minute and 30 seconds?", Relation.DURING, HEARD, (90, 91)),
        ("What do you hear at 1m30s?", Relation.DURING, HEARD, (90, 91)),
        ("Is a cat visible 20 seconds into the film?", Relation.DURING, SEEN, (20, 21)),
        ("What is said in the first ten seconds?", Relation.DURING, HEARD, (0, 10)),
        ("Describe the first minute", Relation.DURING, ANY, (0, 60)),
        ("What is shown in the last 5 seconds?", Relation.LAST, SEEN, (0, 5)),
        ("What is said between 0:10 and 0:20?", Relation.DURING, HEARD, (10, 20)),
        ("What is shown between 10 and 20 seconds?", Relation.DURING, SEEN, (10, 20)),
        ("What is shown at 0:10-0:20?", Relation.DURING, SEEN, (10, 20)),
        ("What is shown from minute 1 to minute 2?", Relation.DURING, SEEN, (60, 120)),
        ("What is said after 1:00?", Relation.AFTER, HEARD, (60, 60)),
        ("What happens after the first 20 seconds?", Relation.AFTER, ANY, (20, 20)),
        ("What is shown before 0:30?", Relation.BEFORE, SEEN, (30, 30)),
        ("In the last 10 seconds, what does the man do?", Relation.LAST, ANY, (0, 10)),
        ("Summarise the video from 5 to 10 minutes", Relation.DURING, ANY, (300, 600)),
        ("And in the first minute?", Relation.DURING, ANY, (0, 60)),
        # It may be a time of something else, and is where the media has nothing there.
        ("What colour is the car at 15 seconds?", Relation.AT, ANY, (15, 16)),
        # It may be a time of day, and is one where the media is not as long.
        ("What colour is the car at 0:15?", Relation.AT, ANY, (15, 16)),
        ("Who is in the meeting at 14:30?", Relation.AT, ANY, (870, 871)),
    ],
)
def test_a_time_of_the_media(
    question: str, relation: Relation, target: Track, span_s: tuple[float, float]
) -> None:
    asked = read_temporal(question)
    assert asked is not None
    assert (asked.relation, asked.target, asked.span_s) == (relation, target, span_s)


@pytest.mark.parametrize(
    "question",
    [
        "What is the total on the receipt?",
        "What happens at 4 o'clock?",
        "What is said at 4:00 o'clock?",
        "What is shown at 2:30 pm?",
        "What is shown at 11:15 a.m.?",
        "What happens at 15?",
        "How many of the 20 seconds are silent?",
        "What is at 5 m of height?",
        "Which train leaves after 14:30?",
        "What is to be done after 20 minutes of cooking?",
        "What happens 10 seconds after the cat appears?",
        "Name a second in command",
        "How much should I take in the first 24 hours?",
        "In the first 24 hours, how much should I take?",
        "What is the capacity from 5 to 10 minutes?",
        "Compare the results from 10 minutes to 20 minutes of training",
        "What is the last minute change?",
        "How long is 60 seconds in minutes?",
        "What happens at 5 \u017feconds?",
        "What happens at 5 m\u0131nutes?",
        "What happens at m\u0131nute 5?",
        "What happens at s\u0130xty seconds?",
    ],
)
def test_other_numbers_are_no_times_of_the_media(question: str) -> None:
    asked = read_temporal(question)
    assert asked is None or asked.span_s is None


def test_what_else_a_question_about_a_time_says() -> None:
    asked = read_temporal("What is said at 0:15 in lesson.mp4?")
    assert asked is not None
    assert asked.anchor == "What is said in lesson.mp4?"
