"""The frames of a WebSocket as messages of ``StreamingConverse``, and its events as frames."""

from collections.abc import AsyncGenerator

from google.protobuf import json_format
from sensorium.media.v1 import upload_pb2
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.gateway.events import ConverseEvent
from services.gateway.pipeline import TurnMessage
from services.runtime.errors import InvalidInput, OutOfOrder

FRAME_BYTES_MAX = 1 << 20
"""Largest frame that is taken, of either kind: that of the contract's chunk."""
CAUSE_CHARACTERS_MAX = 200
HALF_CLOSE = ""
"""A WebSocket has no half-close of its own: an empty text frame stands for it."""


class FrameReader:
    """Turns frames into messages.

    A text frame is a message in its JSON mapping. A binary frame is the next bytes of the asset
    announced last, so that bytes need no base64 and no offsets: they follow those before them,
    and after a ``chunk`` in JSON they go on where it ends, which is how an upload is resumed.
    """

    def __init__(self) -> None:
        self._turn_id = ""
        self._asset_id = ""
        self._offset = 0

    def text(self, frame: str) -> TurnMessage:
        """The message of a text frame. Raises InvalidInput MESSAGE_MALFORMED."""
        message = TurnMessage()
        try:
            json_format.Parse(frame, message)
        except (json_format.ParseError, RecursionError) as error:
            cause = " ".join(str(error).split())[:CAUSE_CHARACTERS_MAX]
            raise InvalidInput(
                "MESSAGE_MALFORMED",
                f"A text frame is no StreamingConverseRequest in its JSON mapping: {cause}",
                subject="message",
            ) from None
        self._follow(message)
        return message

    def binary(self, frame: bytes) -> TurnMessage:
        """The chunk of a binary frame. Raises OutOfOrder ASSET_NOT_STARTED."""
        if not self._asset_id:
            raise OutOfOrder(
                "ASSET_NOT_STARTED",
                "A binary frame holds bytes of the asset announced last: send assetStart first.",
                subject="chunk",
            )
        chunk = upload_pb2.MediaChunk(asset_id=self._asset_id, offset=self._offset, data=frame)
        self._offset += len(frame)
        return TurnMessage(turn_id=self._turn_id, chunk=chunk)

    def _follow(self, message: TurnMessage) -> None:
        kind = message.WhichOneof("message")
        if kind == "asset_start":
            self._turn_id, self._asset_id = message.turn_id, message.asset_start.asset_id
            self._offset = 0
        elif kind == "chunk" and message.chunk.asset_id == self._asset_id:
            self._offset = message.chunk.offset + len(message.chunk.data)
        elif kind == "asset_finish" and message.asset_finish.asset_id == self._asset_id:
            self._asset_id = ""


async def read_messages(socket: WebSocket) -> AsyncGenerator[TurnMessage, None]:
    """The messages of a socket up to the client's half-close, each read when it is asked for.

    Raises WebSocketDisconnect when the client goes away before, InvalidInput and OutOfOrder.
    """
    reader = FrameReader()
    while True:
        frame = await socket.receive()
        if frame["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(frame["code"], frame.get("reason"))
        text, data = frame.get("text"), frame.get("bytes")
        if text == HALF_CLOSE:
            return
        if text is not None:
            yield reader.text(text)
        # A recorder gives an empty piece when it had nothing to record.
        elif data:
            yield reader.binary(data)


def event_frame(event: ConverseEvent) -> str:
    """An event as a text frame: its JSON mapping."""
    return json_format.MessageToJson(event, indent=None)
