"""The answer on its way out: tokens as they come, or by the sentence where each is judged."""

from collections.abc import Collection

from sensorium.gateway.v1 import gateway_pb2
from sensorium.generate.v1 import generate_pb2

from services.gateway.events import TurnEvents
from services.gateway.markers import Markers
from services.gateway.moderation import Moderation
from services.gateway.sentences import Sentences
from services.gateway.timings import TurnClock


class AnswerRelay:
    """Passes an answer on to the client. ``text`` is what was shown of it; ``blocked`` tells
    that the rest is withheld."""

    def __init__(self, events: TurnEvents, moderation: Moderation, clock: TurnClock) -> None:
        self.text = ""
        self.blocked = False
        self._events = events
        self._moderation = moderation
        self._clock = clock
        self._markers: Markers | None = None
        self._held = Sentences() if moderation.holds_answers else None
        self._held_token_count = 0

    def may_name(self, keys: Collection[str]) -> None:
        """Which evidence the model was given: what other markers the answer has are taken out.
        To be told before its first token; where no evidence was asked for, brackets are text."""
        self._markers = Markers(keys)

    async def add(self, token: generate_pb2.TokenChunk) -> None:
        """Show what can be shown with the next token; nothing more once ``blocked``."""
        self._held_token_count += token.token_count
        await self._take(self._markers.add(token.text) if self._markers else token.text)

    async def finish(self) -> None:
        """The answer is complete: show the rest."""
        if self._markers:
            await self._take(self._markers.rest())
        if self._held is not None:
            await self._show(self._held.rest())

    async def _take(self, text: str) -> None:
        for sentence in [text] if self._held is None else self._held.add(text):
            await self._show(sentence)

    async def _show(self, text: str) -> None:
        if self.blocked or not text:
            return
        if self._held is not None and not await self._moderation.allows(text):
            self.blocked = True
            return
        self._clock.token()
        self.text += text
        token_count, self._held_token_count = self._held_token_count, 0
        await self._events.send(token=gateway_pb2.TokenChunk(text=text, token_count=token_count))
