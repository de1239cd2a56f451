"""Whether the evidence of a turn says anything of what is asked."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.gateway.citations import content_words

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


@dataclass(frozen=True, slots=True)
class Statement:
    """The words of a piece of evidence, and its cosine to the question, -1 to 1."""

    text: str
    similarity: float


def tells(question: str, statements: Iterable[Statement]) -> bool:
    """False where no evidence is near the question and none shares a word with it.

    A question without words of its own ("describe this") asks for whatever there is, if there
    is anything.
    """
    asked = content_words(question) - _OPEN
    if not asked:
        return any(True for _ in statements)
    return any(
        statement.similarity >= SIMILARITY_MIN or asked & content_words(statement.text)
        for statement in statements
    )
