"""A conversation: turns of media and questions out, events in, on one stream."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from uuid import uuid4

from sensorium.gateway.v1 import gateway_pb2

from sensorium_client.assets import as_field, asset_messages, fresh_asset_id
from sensorium_client.channel import CallContext
from sensorium_client.duplex import DuplexCall, WritingStopped
from sensorium_client.errors import SensoriumClientError
from sensorium_client.events import Event, TurnComplete
from sensorium_client.media import Media, as_media

ConverseCall = DuplexCall[
    gateway_pb2.StreamingConverseRequest, gateway_pb2.StreamingConverseResponse
]
_Request = gateway_pb2.StreamingConverseRequest


class Turn:
    """One turn: send text and media in any order, then ``end`` it. Any task may send."""

    def __init__(self, call: ConverseCall, turn_id: str) -> None:
        self.turn_id = turn_id
        self._call = call
        self._cancelled = False

    async def send_text(self, text: str) -> None:
        """Send a piece of the question. Before the media, it lets the server look for it."""
        await self._write(_Request(text=gateway_pb2.TextChunk(text=text)))

    async def send_media(self, media: Media) -> str:
        """Send one asset, at its own pace, and return its id. Several may be sent at once."""
        asset_id = media.asset_id or fresh_asset_id()
        async with aclosing(asset_messages(media, asset_id)) as messages:
            async for message in messages:
                if self._cancelled:
                    break
                await self._write(_Request(**as_field(message)))
        return asset_id

    async def end(self, asset_ids: Iterable[str] = ()) -> None:
        """The question is complete: answer. ``asset_ids`` names stored assets to consult."""
        if not self._cancelled:
            await self._write(_Request(end_turn=gateway_pb2.EndTurn(asset_ids=asset_ids)))

    async def cancel(self) -> None:
        """Stop the turn; ``turn_complete`` follows with the reason "cancelled"."""
        self._cancelled = True
        await self._write(_Request(cancel_turn=gateway_pb2.CancelTurn()))

    async def _write(self, request: _Request) -> None:
        request.turn_id = self.turn_id
        await self._call.write(request)


class Conversation:
    """An open stream; made by :meth:`Client.converse`.

    ``ask`` covers the common walk. For anything freer - a microphone, a cancel
    button - begin a turn, send from one task and read ``events`` in another:
    a stream that nobody reads comes to a halt.
    """

    def __init__(self, call: ConverseCall, context: CallContext) -> None:
        self.context = context
        self._call = call

    def begin_turn(self, turn_id: str = "") -> Turn:
        """A new turn. One is open at a time."""
        return Turn(self._call, turn_id or uuid4().hex)

    def events(self) -> AsyncGenerator[Event, None]:
        """All events from here to the end of the stream. Raises SensoriumClientError."""
        return self._call.events()

    async def finish(self) -> None:
        """No more turns: the server indexes what is left, sends ``summary`` and ends."""
        await self._call.done_writing()

    async def ask(
        self,
        question: str,
        files: Iterable[Media | str] = (),
        asset_ids: Iterable[str] = (),
    ) -> AsyncGenerator[Event, None]:
        """Send one whole turn and give its events up to its ``turn_complete``.

        All files are sent at once, each at its own pace, after the question.

        Raises:
            SensoriumClientError: the stream failed; its subject is the name of a file, where
                it is one of these.
            OSError: a file cannot be read; the stream is cancelled.
        """
        turn = self.begin_turn()
        media = [
            dataclasses.replace(item, asset_id=item.asset_id or fresh_asset_id())
            for item in map(as_media, files)
        ]
        names = {item.asset_id: item.display_name for item in media}
        stored_ids = list(asset_ids)

        async def send() -> None:
            try:
                if question:
                    await turn.send_text(question)
                async with asyncio.TaskGroup() as group:
                    for item in media:
                        group.create_task(turn.send_media(item))
                await turn.end(stored_ids)
            except BaseExceptionGroup as group_error:
                raise _first_cause(group_error) from None

        try:
            async with aclosing(self._call.events_while(send())) as stream:
                async for event in stream:
                    yield event
                    if isinstance(event, TurnComplete) and event.turn_id == turn.turn_id:
                        return
        except SensoriumClientError as error:
            error.subject = names.get(error.subject, error.subject)
            raise


def _first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    leaves = [
        _first_cause(error) if isinstance(error, BaseExceptionGroup) else error
        for error in group.exceptions
    ]
    failures = [error for error in leaves if not isinstance(error, WritingStopped)]
    return (failures or leaves)[0]
