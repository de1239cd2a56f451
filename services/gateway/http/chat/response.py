"""Answers in OpenAI's shape, and what this server tells besides under ``sensorium``."""

import time
from dataclasses import dataclass, field
from typing import Literal, NotRequired
from uuid import uuid4

from sensorium.gateway.v1 import gateway_pb2
from typing_extensions import TypedDict

from services.gateway.events import ConverseEvent
from services.gateway.http.evidence import (
    Citation,
    Evidence,
    Timings,
    to_citation,
    to_evidence,
    to_timings,
)
from services.gateway.http.schema import Schema

FinishReason = Literal["stop", "length", "content_filter"]

FINISH_REASONS: dict[gateway_pb2.TurnFinishReason.ValueType, FinishReason] = {
    gateway_pb2.TURN_FINISH_REASON_STOP: "stop",
    gateway_pb2.TURN_FINISH_REASON_LENGTH: "length",
    gateway_pb2.TURN_FINISH_REASON_CONTENT_FILTER: "content_filter",
}


class PromptTokens(Schema):
    """Of the prompt's tokens."""

    cached_tokens: int
    """Those that were already in the model's cache."""


class Usage(Schema):
    """What an answer took."""

    prompt_tokens: int
    """Evidence included."""
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens


class AssetSummary(Schema):
    """Media of the request, stored."""

    id: str
    """By which later requests can name it."""
    name: str
    media_type: str
    size_bytes: int
    sha256: str


class Extension(Schema):
    """What this server tells besides OpenAI's API."""

    trace_id: str
    conversation_id: str
    """The conversation that was continued and remembers this turn; empty: none."""
    assets: list[AssetSummary]
    citations: list[Citation]
    evidence: list[Evidence]
    """All that the answer was weighed from, in the order of the timeline."""
    timings: Timings
    response_cached: bool
    """Whether the answer was given before, to the same question over the same evidence."""
    media_bytes: int
    segment_count: int
    """Pieces of media that were looked at or listened to."""
    cache_hit_count: int
    """Of what was to be perceived, how much was known from before."""


class AnswerMessage(Schema):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(Schema):
    """The one answer."""

    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: None = None


class ChatCompletion(Schema):
    """An answer that is complete."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    sensorium: Extension


class Delta(TypedDict):
    """What is new of the answer."""

    role: NotRequired[Literal["assistant"]]
    content: NotRequired[str]


class ChunkChoice(Schema):
    """What is new of the one answer."""

    index: Literal[0] = 0
    delta: Delta
    finish_reason: FinishReason | None = None
    logprobs: None = None


class ChatChunk(Schema):
    """A piece of an answer, as one server-sent event."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]


class LastChunk(ChatChunk):
    """The chunk after the last words, with the finish reason."""

    sensorium: Extension


class UsageChunk(ChatChunk):
    """The chunk that tells what the answer took; it has no choices."""

    usage: Usage


@dataclass(slots=True)
class Answer:
    """One answer while it is made: takes the events of its turn, gives OpenAI's objects."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    trace_id: str = ""
    conversation_id: str = ""
    text: list[str] = field(default_factory=list)
    assets: list[AssetSummary] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)

    def note(self, event: ConverseEvent) -> None:
        """Record an event."""
        kind = event.WhichOneof("event")
        if kind == "token":
            self.text.append(event.token.text)
        elif kind == "citation":
            self.citations.append(to_citation(event.citation))
        elif kind == "evidence":
            self.evidence = [to_evidence(piece) for piece in event.evidence.evidence]
        elif kind == "ready":
            self.trace_id = event.ready.trace_id
            self.conversation_id = event.ready.effective_config.conversation_id
        elif kind == "asset":
            self.assets.append(
                AssetSummary(
                    id=event.asset.asset_id,
                    name=event.asset.info.name,
                    media_type=event.asset.info.mime_type,
                    size_bytes=event.asset.size_bytes,
                    sha256=event.asset.sha256,
                )
            )

    def completion(self, complete: gateway_pb2.TurnComplete) -> ChatCompletion:
        """The whole answer."""
        message = AnswerMessage(content="".join(self.text))
        choice = Choice(message=message, finish_reason=FINISH_REASONS[complete.finish_reason])
        return ChatCompletion(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[choice],
            usage=to_usage(complete.usage),
            sensorium=self._extension(complete),
        )

    def opening(self) -> ChatChunk:
        """The chunk before the first words."""
        return self._chunk(Delta(role="assistant", content=""))

    def words(self, text: str) -> ChatChunk:
        """The next words."""
        return self._chunk(Delta(content=text))

    def ending(self, complete: gateway_pb2.TurnComplete) -> LastChunk:
        """The chunk after the last words."""
        reason = FINISH_REASONS[complete.finish_reason]
        return LastChunk(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[ChunkChoice(delta=Delta(), finish_reason=reason)],
            sensorium=self._extension(complete),
        )

    def usage(self, complete: gateway_pb2.TurnComplete) -> UsageChunk:
        """The chunk that tells what the answer took."""
        return UsageChunk(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[],
            usage=to_usage(complete.usage),
        )

    def _chunk(self, delta: Delta) -> ChatChunk:
        return ChatChunk(
            id=self.id,
            created=self.created,
            model=self.model,
            choices=[ChunkChoice(delta=delta)],
        )

    def _extension(self, complete: gateway_pb2.TurnComplete) -> Extension:
        return Extension(
            trace_id=self.trace_id,
            conversation_id=self.conversation_id,
            assets=self.assets,
            citations=self.citations,
            evidence=self.evidence,
            timings=to_timings(complete.timings),
            response_cached=complete.response_cached,
            media_bytes=complete.usage.media_bytes,
            segment_count=complete.usage.segment_count,
            cache_hit_count=complete.usage.cache_hit_count,
        )


def to_usage(usage: gateway_pb2.Usage) -> Usage:
    """What an answer took."""
    return Usage(
        prompt_tokens=usage.prompt_token_count,
        completion_tokens=usage.completion_token_count,
        total_tokens=usage.prompt_token_count + usage.completion_token_count,
        prompt_tokens_details=PromptTokens(cached_tokens=usage.cached_token_count),
    )
