"""``/v1/converse``: a conversation over a WebSocket, for browsers.

Text frames are the JSON mapping of ``StreamingConverseRequest``, the config first; a binary frame
is the next bytes of the asset announced last; an empty text frame says that no turn will follow.
Each event comes as a text frame in the JSON mapping of ``StreamingConverseResponse``. An error is
told as the ``error`` event; then the socket closes with its reason. A client that closes first
cancels what is under way.
"""

import contextlib

from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.gateway.events import ConverseEvent
from services.gateway.http.errors import to_client
from services.gateway.http.frames import event_frame, read_messages
from services.gateway.http.front import Front, FrontDep
from services.runtime import errors
from services.runtime.errors import SensoriumError
from services.runtime.status import stream_error
from services.runtime.streams import open_stream

router = APIRouter()

SUBPROTOCOL = "sensorium.converse.v1"

# RFC 6455, section 7.4.1, and its registry.
PAYLOAD_INVALID = 1007
REFUSED = 1008
SERVER_FAILED = 1011
TRY_LATER = 1013


@router.websocket("/v1/converse")
async def converse(socket: WebSocket, front: FrontDep) -> None:
    """Hold one conversation, up to the summary."""
    offered = socket.scope["subprotocols"]
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        await _hold(socket, front)
        await socket.close()
    except WebSocketDisconnect:
        return
    except Exception as error:  # noqa: BLE001 - the boundary: nothing foreign leaves
        await _refuse(socket, to_client(error))


async def _hold(socket: WebSocket, front: Front) -> None:
    async with (
        front.enter(socket, "StreamingConverse") as scope,
        contextlib.aclosing(read_messages(socket)) as frames,
    ):
        config, messages = await open_stream(frames)
        async with contextlib.aclosing(front.calls.converse(scope, config, messages)) as events:
            async for event in events:
                await socket.send_text(event_frame(event))


async def _refuse(socket: WebSocket, error: SensoriumError) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        await socket.send_text(event_frame(ConverseEvent(error=stream_error(error))))
        await socket.close(_close_code(error), error.reason)


def _close_code(error: SensoriumError) -> int:
    if error.reason == "MESSAGE_MALFORMED":
        return PAYLOAD_INVALID
    if isinstance(error, errors.Overloaded | errors.Unavailable):
        return TRY_LATER
    if isinstance(error, errors.InternalFailure):
        return SERVER_FAILED
    return REFUSED
