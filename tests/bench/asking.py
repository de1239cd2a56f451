"""One question to a running platform, timed at the client."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sensorium_client import Client
from sensorium_client.events import Event, Timings, Token, Transcript, TurnComplete
from sensorium_client.media import Media
from sensorium_client.options import AskOptions

_DEFAULTS = AskOptions()


@dataclass(frozen=True, slots=True)
class TimedTurn:
    """Marks of one turn by the client's clock, in seconds from its first message."""

    last_byte_s: float
    """Just before the client writes the end mark, the last thing it sends."""
    first_token_s: float
    complete_s: float
    first_transcript_s: float | None
    answer: str
    completion: TurnComplete

    @property
    def wait_s(self) -> float:
        """Time to first token, from the last byte."""
        return self.first_token_s - self.last_byte_s

    @property
    def timings(self) -> Timings:
        """The server's own marks."""
        return self.completion.timings


class _Marks:
    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.last_byte_s = 0.0
        self.first_token_s: float | None = None
        self.first_transcript_s: float | None = None
        self.complete_s = 0.0
        self.answer: list[str] = []

    def now_s(self) -> float:
        return time.perf_counter() - self._started

    def note(self, event: Event) -> None:
        match event:
            case Token():
                if self.first_token_s is None:
                    self.first_token_s = self.now_s()
                self.answer.append(event.text)
            case Transcript() if self.first_transcript_s is None:
                self.first_transcript_s = self.now_s()
            case TurnComplete():
                self.complete_s = self.now_s()


class NoAnswer(Exception):
    """The stream ended without a token."""


async def ask_timed(
    client: Client,
    question: str,
    media: Sequence[Media] = (),
    asset_ids: Iterable[str] = (),
    options: AskOptions = _DEFAULTS,
) -> TimedTurn:
    """Ask on a stream of its own, the question first; returns when the media is indexed too.

    So nothing of this turn is left to disturb the next. Raises NoAnswer and
    SensoriumClientError.
    """
    completion: TurnComplete | None = None
    async with client.converse(options) as conversation:
        turn = conversation.begin_turn()
        marks = _Marks()

        async def send() -> None:
            await turn.send_text(question)
            async with asyncio.TaskGroup() as group:
                for item in media:
                    group.create_task(turn.send_media(item))
            marks.last_byte_s = marks.now_s()
            await turn.end(asset_ids)

        sender = asyncio.create_task(send())
        try:
            async for event in conversation.events():
                marks.note(event)
                if isinstance(event, TurnComplete):
                    completion = event
                    await conversation.finish()
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
    if completion is None or marks.first_token_s is None:
        raise NoAnswer
    return TimedTurn(
        last_byte_s=marks.last_byte_s,
        first_token_s=marks.first_token_s,
        complete_s=marks.complete_s,
        first_transcript_s=marks.first_transcript_s,
        answer="".join(marks.answer),
        completion=completion,
    )
