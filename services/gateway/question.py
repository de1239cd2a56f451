"""What a question asks for, as far as the walk must know before it is answered."""

import re

from services.gateway.temporal import Track, read_temporal
from services.runtime.errors import InvalidInput, LimitExceeded

# Words by which people ask for writing in a picture.
_ABOUT_WRITING = re.compile(
    r"\b(read|reads|reading|text|texts|written|writes|writing|wording|letters|numbers|digits|title"
    r"|heading|headline|receipt|invoice|bill|total|price|prices|amount|date|page|document|form"
    r"|signs?|menu|labels?|captions?|subtitles?|screen|slides?|logo|brand|plate|address|phone"
    r"|email|url|ocr|spelled|mentions|quotes?|(?:it|this|that|picture|photo|image) says?)\b",
    re.IGNORECASE,
)


def needs_writing(question: str) -> bool:
    """Whether the answer may hang on text in a picture, so that it must wait for OCR.

    A list of words, on purpose: it costs nothing, and a wrong yes costs only
    time. What it misses is still read for the index after the answer.
    """
    if _ABOUT_WRITING.search(question):
        return True
    # What is on screen at some moment may be a page of text.
    asked = read_temporal(question)
    return asked is not None and Track.SEEN in (asked.target, asked.anchor_track)


def check_question(question: str, characters_max: int) -> str:
    """The question without outer blanks. Raises InvalidInput or LimitExceeded."""
    question = question.strip()
    if not question:
        raise InvalidInput(
            "QUESTION_MISSING",
            "The turn has no question: send some text.",
            subject="text",
        )
    check_length(question, characters_max)
    return question


def check_length(question: str, characters_max: int) -> None:
    """Raise LimitExceeded QUESTION_TOO_LONG past the limit."""
    if len(question) > characters_max:
        raise LimitExceeded(
            "QUESTION_TOO_LONG",
            f"The question has {len(question)} characters; at most {characters_max} are taken.",
            subject="text",
        )


def check_instructions(instructions: str, characters_max: int) -> None:
    """Raise LimitExceeded INSTRUCTIONS_TOO_LONG past the limit."""
    if len(instructions) > characters_max:
        raise LimitExceeded(
            "INSTRUCTIONS_TOO_LONG",
            f"The instructions have {len(instructions)} characters; at most {characters_max} are "
            "taken.",
            subject="config.answer.instructions",
        )
