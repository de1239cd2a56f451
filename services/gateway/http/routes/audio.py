"""``/v1/audio``: what is said in a file, written out as OpenAI's API has it, and asked about."""

from typing import Any

from fastapi import Request
from starlette.responses import Response

from services.gateway.http.audio.events import AnswerDelta, AnswerDone, TextDelta, TextDone
from services.gateway.http.audio.heard import (
    AnsweredTranscription,
    Transcription,
    VerboseTranscription,
)
from services.gateway.http.audio.listening import MEDIA_TYPES, Listening
from services.gateway.http.audio.request import TranscribeForm, TranscriptionForm
from services.gateway.http.body.forms import form_body
from services.gateway.http.front import FrontDep
from services.gateway.http.openapi import event_stream
from services.gateway.http.router import Router
from services.gateway.http.sse import respond

router = Router(prefix="/v1/audio", tags=["audio"])

FILE = "A recording, or a video with sound, of any supported type."


def _written(events: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The entry of ``responses`` for what is not JSON."""
    text = {"schema": {"type": "string"}}
    files = {media_type.split(";")[0]: text for media_type in MEDIA_TYPES.values()}
    return {200: {"content": {**files, **events["content"]}}}


@router.post(
    "/transcriptions",
    response_model=VerboseTranscription | Transcription,
    responses=_written(event_stream(TextDelta, TextDone)),
    openapi_extra=form_body(TranscriptionForm, FILE),
)
async def create_transcription(request: Request, front: FrontDep) -> Response:
    """Write out what is said in a file, which is stored on the way. With ``stream`` the words come
    as server-sent events while the file is still being sent."""
    return await respond(Listening(front, request, TranscriptionForm))


@router.post(
    "/transcribe",
    response_model=AnsweredTranscription,
    responses=_written(event_stream(TextDelta, TextDone, AnswerDelta, AnswerDone)),
    openapi_extra=form_body(TranscribeForm, FILE),
)
async def transcribe(request: Request, front: FrontDep) -> Response:
    """Write out what is said in a file, and answer a ``prompt`` over it. With ``stream`` the words
    come first, then those of the answer."""
    return await respond(Listening(front, request, TranscribeForm))
