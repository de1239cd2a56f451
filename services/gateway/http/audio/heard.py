"""What was heard, and how it is written: OpenAI's JSON, plain text, subtitles."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field
from sensorium.gateway.v1 import gateway_pb2

from sensorium_formats import subtitles
from services.gateway.http.evidence import Citation
from services.gateway.http.schema import Schema
from services.runtime.durations import to_seconds


@dataclass(frozen=True, slots=True)
class Span:
    """In seconds from the start."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word, when it is said, and how sure that is (0 to 1)."""

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Heard:
    """Something that was said."""

    text: str
    span: Span
    language: str
    words: tuple[HeardWord, ...] = ()


def read_heard(chunk: gateway_pb2.TranscriptChunk | gateway_pb2.TranscribeResponse) -> Heard:
    """What an event tells."""
    said = chunk.transcript
    return Heard(
        said.text.strip(),
        Span(to_seconds(chunk.span.start), to_seconds(chunk.span.end)),
        said.language,
        tuple(
            HeardWord(
                word.text.strip(),
                to_seconds(word.span.start),
                to_seconds(word.span.end),
                word.confidence,
            )
            for word in said.words
        ),
    )


class TranscriptWord(Schema):
    """A word and when it is said, in seconds."""

    word: str
    start: float
    end: float


class TranscriptSegment(Schema):
    """A sentence or a part of one, and when it is said, in seconds."""

    id: int
    start: float
    end: float
    text: str
    avg_logprob: float
    """Mean log probability of its words; 0 where word times were not asked for."""
    compression_ratio: float
    """Bytes of the text over those of it compressed."""
    no_speech_prob: Literal[0] = 0
    """Not told: what holds no speech is left out."""
    seek: Literal[0] = 0
    temperature: Literal[0] = 0
    tokens: list[int] = Field(default_factory=list)
    """Not told."""


class DurationUsage(Schema):
    """What was listened to."""

    type: Literal["duration"] = "duration"
    seconds: float


class Stored(Schema):
    """What the file became."""

    file_id: str
    """By which later requests can name it."""
    trace_id: str


class Transcription(Schema):
    """What was said."""

    text: str
    usage: DurationUsage
    sensorium: Stored


class VerboseTranscription(Transcription):
    """What was said, and when."""

    task: Literal["transcribe"] = "transcribe"
    language: str
    """ISO 639-1 code."""
    duration: float
    """In seconds."""
    segments: list[TranscriptSegment] | None = None
    words: list[TranscriptWord] | None = None


class AnsweredTranscription(VerboseTranscription):
    """What was said, and the answer to the prompt over it."""

    answer: str | None
    """Null without a prompt."""
    citations: list[Citation]


@dataclass(slots=True)
class Transcript:
    """All that was heard in a file."""

    heard: list[Heard] = field(default_factory=list)
    duration_s: float = 0.0
    file_id: str = ""
    trace_id: str = ""

    @property
    def text(self) -> str:
        """The words."""
        return " ".join(each.text for each in self.heard)

    @property
    def language(self) -> str:
        """ISO 639-1 code; empty where nothing was said."""
        return self.heard[0].language if self.heard else ""

    @property
    def seconds(self) -> float:
        """Length of the sound, or up to its last word where the file does not tell it."""
        return self.duration_s or max((each.span.end_s for each in self.heard), default=0.0)

    def subtitles(self, written: Literal["srt", "vtt"]) -> str:
        """As a file of subtitles."""
        return (subtitles.srt if written == "srt" else subtitles.vtt)(self.heard)

    def plain(self) -> Transcription:
        """The words alone."""
        return Transcription(text=self.text, usage=self._usage(), sensorium=self._stored())

    def verbose(self, *, segments: bool, words: bool) -> VerboseTranscription:
        """The words and when they are said."""
        return VerboseTranscription(
            text=self.text,
            usage=self._usage(),
            sensorium=self._stored(),
            language=self.language,
            duration=self.seconds,
            segments=self._segments() if segments else None,
            words=self._words() if words else None,
        )

    def answered(
        self, answer: str | None, citations: Sequence[Citation], *, times: bool
    ) -> AnsweredTranscription:
        """The words, and an answer over them."""
        verbose = self.verbose(segments=times, words=times)
        return AnsweredTranscription(**dict(verbose), answer=answer, citations=list(citations))

    def _usage(self) -> DurationUsage:
        return DurationUsage(seconds=self.seconds)

    def _stored(self) -> Stored:
        return Stored(file_id=self.file_id, trace_id=self.trace_id)

    def _segments(self) -> list[TranscriptSegment]:
        return [
            TranscriptSegment(
                id=number,
                start=each.span.start_s,
                end=each.span.end_s,
                text=each.text,
                avg_logprob=_mean_logprob(each.words),
                compression_ratio=_compression_ratio(each.text),
            )
            for number, each in enumerate(self.heard)
        ]

    def _words(self) -> list[TranscriptWord]:
        return [
            TranscriptWord(word=word.text, start=word.start_s, end=word.end_s)
            for each in self.heard
            for word in each.words
        ]


def _mean_logprob(words: Sequence[HeardWord]) -> float:
    if not words:
        return 0.0
    return sum(math.log(max(word.confidence, 1e-6)) for word in words) / len(words)


def _compression_ratio(text: str) -> float:
    """As Whisper measures repetition."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))
