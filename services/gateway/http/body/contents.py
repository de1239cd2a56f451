"""Words and media inside of a JSON body, for what is looked at and not kept."""

from typing import Annotated, Any

from pydantic import Discriminator, Tag
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.ephemeral import MEDIA_BYTES_MAX
from services.gateway.http.chat.media import from_url
from services.gateway.http.chat.request import ImagePart, TextPart
from services.gateway.http.remote import RemoteFiles
from services.gateway.http.schema import MediaUrl, Schema, Words
from services.runtime.errors import InvalidInput, LimitExceeded


class WordsInput(Schema):
    """Words, as others than OpenAI ask for their vector."""

    text: Words


class Picture(Schema):
    """A picture, as others than OpenAI ask for its vector."""

    image: MediaUrl
    """``data:image/...;base64,...``, or http(s)."""


def _shape(sent: Any) -> str | None:
    if isinstance(sent, int) or (isinstance(sent, list) and all(isinstance(t, int) for t in sent)):
        raise InvalidInput(
            "TOKENS_UNSUPPORTED",
            "Send text: tokens are another model's. LangChain's OpenAIEmbeddings sends text with "
            "check_embedding_ctx_length=False.",
            subject="input",
        )
    if isinstance(sent, str):
        return "string"
    if isinstance(sent, dict):
        return next((key for key in ("type", "image", "text") if key in sent), None)
    return None


Input = Annotated[
    Annotated[Words, Tag("string")]
    | Annotated[Annotated[TextPart | ImagePart, Discriminator("type")], Tag("type")]
    | Annotated[WordsInput, Tag("text")]
    | Annotated[Picture, Tag("image")],
    Discriminator(
        _shape,
        custom_error_type="input_shape",
        custom_error_message='Input should be a string, {"text": ...}, {"image": ...} or a part '
        "of a chat message",
    ),
]
"""A string; ``{"text": ...}``; ``{"image": ...}``; or a part of a chat message."""


async def read_content(sent: Input, param: str, remote: RemoteFiles) -> gateway_pb2.Content:
    """An input with its bytes. Raises SensoriumError, naming ``param``."""
    if isinstance(sent, str):
        return gateway_pb2.Content(text=sent)
    if isinstance(sent, WordsInput | TextPart):
        return gateway_pb2.Content(text=sent.text)
    url = sent.image if isinstance(sent, Picture) else sent.image_url.url
    return gateway_pb2.Content(media=await read_media(url, param, remote))


async def read_media(url: str, param: str, remote: RemoteFiles) -> bytes:
    """What a ``data:`` or http(s) URL holds. Raises InvalidInput, LimitExceeded MEDIA_TOO_LARGE."""
    media = bytearray()
    async with from_url(url, "media", param, remote)() as opened:
        async for chunk in opened.chunks:
            media += chunk
            if max(len(media), opened.size_bytes) > MEDIA_BYTES_MAX:
                raise LimitExceeded(
                    "MEDIA_TOO_LARGE",
                    f"Media in a request is at most {MEDIA_BYTES_MAX >> 20} MiB; upload larger "
                    "files first.",
                    subject=param,
                )
    return bytes(media)
