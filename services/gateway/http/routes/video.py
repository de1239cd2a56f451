"""``/v1/video/analyze``: a question over a video, whose frames are chosen as one likes."""

from fastapi import Request
from starlette.responses import Response

from services.gateway.http.body.forms import form_body
from services.gateway.http.chat.response import ChatChunk, ChatCompletion, LastChunk, UsageChunk
from services.gateway.http.front import FrontDep
from services.gateway.http.openapi import event_stream, reference
from services.gateway.http.router import Router
from services.gateway.http.sse import respond
from services.gateway.http.video import VideoAnalysis, VideoForm, VideoRequest

router = Router(prefix="/v1/video", tags=["video"])

_body = form_body(VideoForm, "A video of any supported type.")
_body["requestBody"]["content"]["application/json"] = {"schema": reference(VideoRequest)}


@router.post(
    "/analyze",
    response_model=ChatCompletion,
    responses={200: event_stream(ChatChunk, LastChunk, UsageChunk)},
    openapi_extra=_body,
)
async def analyze_video(request: Request, front: FrontDep) -> Response:
    """Answer a question over a video. The answer has the shape of a chat completion, streamed or
    not; ``sensorium.evidence`` is the timeline that it rests on."""
    return await respond(VideoAnalysis(front, request))
