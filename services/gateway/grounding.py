"""Whether the evidence of a turn says anything of what is asked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.gateway.citations import content_words
from services.gateway.temporal import QUESTION_CHARACTERS_MAX, read_temporal

SIMILARITY_MIN = 0.125
"""Cosine of question and evidence below which only shared words connect them. At 0.15 one more
question without an answer was declined, and one with (tests/bench/questions.py)."""

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


# What is heard is all that is asked: not "what does the sign say", nor what is seen of
# "the man who is speaking", nor what "is said in the subtitles".
_IS = r"(?:is|are|was|were|has been|can be|could be)"
_DOES = r"(?:do|does|did|can|could)"
_SUBJECT = r"(?:(?:the|this|that|an?|his|her|your|their) )?(?:(?!who|that|which)\w+ ){1,2}"
_PLACE = (
    r"(?: (?:here|there|first|last|in it|(?:in|from) \S+\.\w{2,4}"
    r"|(?:at|around|after|before) \d\S*(?: (?:second|minute)s?)?"
    r"|(?:in|at|on|of|from|during|throughout) (?:the|this|that|my|your) (?:\w+ ){0,2}"
    r"(?:film|movie|video|clip|recording|audio|footage|file|beginning|start|middle|end|background"
    r"|(?:second|minute)s?)))"
)
_ASKS_WHAT_IS_HEARD = re.compile(
    r"\W*(?:"
    rf"what (?:\w+ ){{0,2}}{_IS} (?:being )?(?:said|told|spoken|heard)"
    rf"|what (?:\w+ )?{_DOES} {_SUBJECT}(?:hear|speak of|(?:speak|talk) about)"
    rf"|what {_IS} {_SUBJECT}(?:speaking of|(?:speaking|talking) about)"
    rf"|who (?:else )?(?:{_IS} (?:speaking|talking|heard)|{_DOES} (?:you|we|i|one) hear"
    r"|speaks|spoke|talks|talked)"
    rf"){_PLACE}{{0,2}}\W*",
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
