"""What a streamed transcription tells, one server-sent event each."""

from typing import Literal

from services.gateway.http.audio.heard import Stored
from services.gateway.http.evidence import Citation
from services.gateway.http.schema import Schema


class TextDelta(Schema):
    """The next words that were heard."""

    type: Literal["transcript.text.delta"] = "transcript.text.delta"
    delta: str
    start: float
    """When they are said, in seconds."""
    end: float


class TextDone(Schema):
    """All words."""

    type: Literal["transcript.text.done"] = "transcript.text.done"
    text: str
    sensorium: Stored


class AnswerDelta(Schema):
    """The next words of the answer to the prompt."""

    type: Literal["answer.text.delta"] = "answer.text.delta"
    delta: str


class AnswerDone(Schema):
    """The whole answer, and what it rests on."""

    type: Literal["answer.text.done"] = "answer.text.done"
    text: str
    citations: list[Citation]


EVENTS = (TextDelta, TextDone, AnswerDelta, AnswerDone)
