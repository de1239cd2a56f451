"""``/v1/embeddings``: vectors of words and pictures, in the space in which media is searched."""

import base64
from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
from fastapi import Request
from pydantic import Discriminator, Field, Tag
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.embedding import LIMITS
from services.gateway.fields import named
from services.gateway.http.body.contents import Input, read_content
from services.gateway.http.body.json_body import read_json
from services.gateway.http.front import FrontDep
from services.gateway.http.openapi import json_body
from services.gateway.http.router import Router
from services.gateway.http.schema import Schema
from services.gateway.http.sse import while_there
from services.runtime.errors import InvalidInput

router = Router(prefix="/v1/embeddings", tags=["embeddings"])

INPUT_COUNT_MAX = 2048
CHARACTERS_A_TOKEN = 4
"""About, in English."""


def _count(sent: object) -> str:
    return "many" if isinstance(sent, list) else "one"


Inputs = Annotated[
    Annotated[Input, Tag("one")]
    | Annotated[
        Annotated[list[Input], Field(min_length=1, max_length=INPUT_COUNT_MAX)], Tag("many")
    ],
    Discriminator(_count),
]


class EmbeddingsRequest(Schema):
    """What to make vectors of."""

    input: Inputs
    """Words, of at most 4,000 characters each, and pictures, of at most 3 MiB together."""
    model: str = ""
    """Accepted and not used: one model makes all vectors."""
    encoding_format: Literal["float", "base64"] = "float"
    """base64: of little-endian float32."""
    dimensions: int | None = Field(None, ge=1)
    """Only what the vectors have."""
    user: str | None = None


class Embedding(Schema):
    """The vector of an input; its length is 1."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Schema):
    """What it took."""

    prompt_tokens: int
    """Estimated from the characters."""
    total_tokens: int


class EmbeddingList(Schema):
    """The vectors, in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    """The space of the vectors: only those of one can be compared."""
    usage: EmbeddingUsage


@router.post("", openapi_extra=json_body(EmbeddingsRequest))
async def create_embedding(request: Request, front: FrontDep) -> EmbeddingList:
    """Make vectors of words and pictures: their dot product tells how alike two are."""
    async with front.enter(request, "Embed") as scope:
        wanted = await read_json(request, EmbeddingsRequest)
        inputs = wanted.input if isinstance(wanted.input, list) else [wanted.input]
        found: list[media_pb2.Embedding] = []
        async with while_there(request):
            contents = [
                await read_content(sent, f"input[{index}]", front.remote)
                for index, sent in enumerate(inputs)
            ]
            for start in range(0, len(contents), LIMITS.input_count):
                part = contents[start : start + LIMITS.input_count]
                with named(_fields(start, len(part))):
                    ask = gateway_pb2.EmbedRequest(inputs=part)
                    found += (await front.calls.embed(scope, ask)).embeddings
    dimension = found[0].dimension
    if wanted.dimensions not in (None, dimension):
        raise InvalidInput(
            "DIMENSIONS_UNSUPPORTED",
            f"The vectors of this server have {dimension} dimensions.",
            subject="dimensions",
        )
    token_count = sum(-(-len(content.text) // CHARACTERS_A_TOKEN) for content in contents)
    return EmbeddingList(
        data=list(_written(found, wanted.encoding_format)),
        model=found[0].space,
        usage=EmbeddingUsage(prompt_tokens=token_count, total_tokens=token_count),
    )


def _fields(start: int, count: int) -> dict[str, str]:
    """What the contract calls the inputs of a batch -> what the request does."""
    return {
        f"inputs[{index}]{field}": f"input[{start + index}]"
        for index in range(count)
        for field in ("", ".text", ".media")
    } | {"inputs": "input"}


def _written(
    found: Iterable[media_pb2.Embedding], encoding_format: Literal["float", "base64"]
) -> Iterable[Embedding]:
    for index, each in enumerate(found):
        if encoding_format == "base64":
            yield Embedding(index=index, embedding=base64.b64encode(each.data).decode())
        else:
            yield Embedding(index=index, embedding=np.frombuffer(each.data, "<f4").tolist())
