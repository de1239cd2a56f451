"""``/v1/moderations``: how far words and pictures are unwanted."""

from typing import Annotated
from uuid import uuid4

from fastapi import Request
from pydantic import Discriminator, Field, Tag
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.fields import named
from services.gateway.http.body.contents import read_content
from services.gateway.http.body.json_body import read_json
from services.gateway.http.chat.request import ImagePart, TextPart
from services.gateway.http.front import FrontDep
from services.gateway.http.judged import Kind, Moderation, moderation
from services.gateway.http.models import MODERATION_MODEL
from services.gateway.http.openapi import json_body
from services.gateway.http.router import Router
from services.gateway.http.schema import Schema, Words
from services.gateway.http.sse import while_there
from services.gateway.judging import LIMITS

router = Router(prefix="/v1/moderations", tags=["moderations"])

Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def _shape(sent: object) -> str:
    if not isinstance(sent, list):
        return "string"
    return "parts" if sent and isinstance(sent[0], dict) else "strings"


_Count = Field(min_length=1, max_length=LIMITS.input_count)
Inputs = Annotated[
    Annotated[Words, Tag("string")]
    | Annotated[Annotated[list[Words], _Count], Tag("strings")]
    | Annotated[Annotated[list[Part], _Count], Tag("parts")],
    Discriminator(_shape),
]


class ModerationRequest(Schema):
    """What to judge."""

    input: Inputs
    """A string; strings, each of which is judged; or parts with words and pictures, which are
    judged together. Texts have at most 32,000 characters, pictures 3 MiB together."""
    model: str = ""
    """Accepted and not used: every classifier of the server judges."""


class ModerationResponse(Schema):
    """What is said of all inputs."""

    id: str
    model: str
    results: list[Moderation]


@router.post("", openapi_extra=json_body(ModerationRequest))
async def create_moderation(request: Request, front: FrontDep) -> ModerationResponse:
    """Judge words and pictures. Nothing is stored, and nothing is blocked."""
    async with front.enter(request, "Moderate") as scope:
        wanted = await read_json(request, ModerationRequest)
        inputs = [wanted.input] if isinstance(wanted.input, str) else wanted.input
        async with while_there(request):
            contents = [
                await read_content(sent, f"input[{index}]", front.remote)
                for index, sent in enumerate(inputs)
            ]
            with named(_fields(len(contents))):
                ask = gateway_pb2.ModerateRequest(inputs=contents)
                found = await front.calls.moderate(scope, ask)
    kinds: list[Kind] = ["image" if content.media else "text" for content in contents]
    judged = list(zip(kinds, found.judgements, strict=True))
    together = not isinstance(inputs[0], str)
    return ModerationResponse(
        id=f"modr-{uuid4().hex}",
        model=MODERATION_MODEL,
        results=[moderation(judged)] if together else [moderation([each]) for each in judged],
    )


def _fields(count: int) -> dict[str, str]:
    """What the contract calls the inputs -> what the request does."""
    return {
        f"inputs[{index}]{field}": f"input[{index}]"
        for index in range(count)
        for field in ("", ".text", ".media")
    } | {"inputs": "input"}
