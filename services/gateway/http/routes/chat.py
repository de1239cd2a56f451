"""``POST /v1/chat/completions``: questions over media, in OpenAI's shape.

The body is JSON; or ``multipart/form-data`` whose field ``request`` holds that JSON and comes
first, and whose files, which belong to the last message, stream into the media store as they come.
"""

from fastapi import Request
from starlette.responses import Response

from services.gateway.http.chat.completion import REQUEST_FIELD, Completion
from services.gateway.http.chat.request import ChatRequest
from services.gateway.http.chat.response import ChatChunk, ChatCompletion, LastChunk, UsageChunk
from services.gateway.http.front import FrontDep
from services.gateway.http.openapi import event_stream, json_or_form
from services.gateway.http.router import Router
from services.gateway.http.sse import respond

router = Router(prefix="/v1/chat", tags=["chat"])


@router.post(
    "/completions",
    response_model=ChatCompletion,
    responses={200: event_stream(ChatChunk, LastChunk, UsageChunk)},
    openapi_extra=json_or_form(ChatRequest, REQUEST_FIELD),
)
async def create_chat_completion(request: Request, front: FrontDep) -> Response:
    """Answer the last message. With ``stream`` the answer comes as server-sent events: chunks
    with words, one with the finish reason and ``sensorium``, one with the usage where that was
    asked for, and ``[DONE]``."""
    return await respond(Completion(front, request))
