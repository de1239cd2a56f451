"""Whether the evidence of a turn says anything of what is asked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.gateway.citations import content_words
from services.gateway.temporal import QUESTION_CHARACTERS_MAX, read_temporal

SIMILARITY_MIN = 0.125
"""Cosine of question and evidence below which only shared words connect them. Questions with
an answer came down to 0.13, those without up to 0.14 (tests/bench/questions.py)."""

# Words of questions that ask for whatever there is.
_OPEN = content_words(
    "describe description caption summary summarise summarize detail details sentence sentences "
    "everything anything something happens happening happened content contents going see look "
    "watch hear listen read tell about topic scene thing things first last several order one "
    "written"
)

# Words for where the time counts: "what is on screen at 0:10 of the video".
_MEDIA = content_words("screen shown visible video film movie clip recording audio frame")


@dataclass(frozen=True, slots=True)
class Statement:
    """The words of a piece of evidence, and its cosine to the question, -1 to 1."""

    text: str
    similarity: float
    is_shown: bool = False
    """By the frames of a film, rather than said in it."""


# "What is said and shown?" asks for both; "what does the sign say?" is said by a picture.
_ASKS_WHAT_IS_HEARD = re.compile(
    r"\W*(?:what|who)\b(?:(?!\b(?:and|or|seen?|sees|show[ns]?|written|reads?|screen)\b)[^,;])*"
    r"\b(?:(?:is|was|are|were|been|being) (?:said|told)|spoken|hear|heard|speak(?:s|ing)?"
    r"|talk(?:s|ed|ing)?)\b(?:(?!\b(?:and|or|seen?|sees|show[ns]?|written|reads?|screen)\b)[^,;])*",
    re.IGNORECASE,
)


def tells(question: str, statements: Iterable[Statement]) -> bool:
    """False where no evidence is near the question and none shares a word with it.

    A question without words of its own ("describe this") asks for whatever there is, if there
    is anything. What is said in a film is not told by what it shows.
    """
    statements = list(statements)
    if all(statement.is_shown for statement in statements) and _asks_what_is_heard(question):
        return False
    asked = content_words(question) - _OPEN
    timed = read_temporal(question)
    if timed and timed.span_s:
        # The time itself is in no evidence.
        asked = content_words(timed.anchor) - _OPEN - _MEDIA
    if not asked:
        return bool(statements)
    return any(
        statement.similarity >= SIMILARITY_MIN or asked & content_words(statement.text)
        for statement in statements
    )


def _asks_what_is_heard(question: str) -> bool:
    if len(question) > QUESTION_CHARACTERS_MAX:
        return False
    return _ASKS_WHAT_IS_HEARD.fullmatch(question) is not None
