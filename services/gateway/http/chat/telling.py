"""Tells an answer to the client, as one object or as it is made."""

from sensorium.gateway.v1 import gateway_pb2

from services.gateway.events import ConverseEvent
from services.gateway.http import sse
from services.gateway.http.chat.response import Answer
from services.runtime.streams import Emit


class WholeAnswer:
    """Tells an answer as one object."""

    def __init__(self, answer: Answer, emit: Emit[bytes]) -> None:
        self._answer = answer
        self._emit = emit

    async def event(self, event: ConverseEvent) -> None:
        """Tell it at the end."""
        if event.WhichOneof("event") == "turn_complete":
            completion = self._answer.completion(event.turn_complete)
            await self._emit(completion.model_dump_json().encode())


class StreamedAnswer:
    """Tells an answer as it is made."""

    def __init__(self, answer: Answer, emit: Emit[bytes], *, with_usage: bool) -> None:
        self._answer = answer
        self._with_usage = with_usage
        self._emit = emit
        self._begun = False

    async def event(self, event: ConverseEvent) -> None:
        """Tell the words as they come, and at the end what they rest on."""
        kind = event.WhichOneof("event")
        if kind == "token":
            await self._send(sse.event(self._answer.words(event.token.text)))
        elif kind == "turn_complete":
            await self._send(self._ending(event.turn_complete))

    async def _send(self, piece: bytes) -> None:
        if not self._begun:
            piece = sse.event(self._answer.opening()) + piece
            self._begun = True
        await self._emit(piece)

    def _ending(self, complete: gateway_pb2.TurnComplete) -> bytes:
        ending = sse.event(self._answer.ending(complete))
        if self._with_usage:
            ending += sse.event(self._answer.usage(complete))
        return ending + sse.DONE
