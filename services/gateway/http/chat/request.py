"""The body of a chat completion: OpenAI's shape, with the parts that vLLM and others add.

Fields that only tune OpenAI's own service are ignored, as unknown ones are. Fields that would
change the answer and are not supported are refused by ``check_supported``.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from services.gateway.http.schema import (
    FileId,
    Language,
    MediaUrl,
    Schema,
    Strict,
    one_of,
    unsupported,
)
from services.runtime.errors import InvalidInput

STOP_STRINGS_MAX = 8
_NO_TOOL = [{"type": "string", "enum": ["none", "auto"]}, {"type": "null"}]
StopString = Annotated[str, Field(min_length=1, max_length=256)]


def _only(**values: Any) -> Any:
    """A field of OpenAI's of which only some values are supported; see ``check_supported``. In
    words of JSON Schema that generators of clients know or pass over."""
    return Field(None, json_schema_extra=values)


class TextPart(Schema):
    """Words."""

    type: Literal["text"]
    text: str


class RefusalPart(Schema):
    """Words by which a model refused, in an earlier answer."""

    type: Literal["refusal"]
    refusal: str


class ImageUrl(Schema):
    """Where a picture is."""

    url: MediaUrl
    """``data:image/...;base64,...``, or http(s)."""
    detail: Literal["auto", "low", "high"] = "auto"
    """low: the picture as a whole; high: all its parts in full resolution, and what is written
    in them; auto: as the question needs it."""


class ImagePart(Schema):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


class TimedUrl(Schema):
    """Where a recording or a video is."""

    url: MediaUrl
    """``data:video/...;base64,...``, or http(s)."""


class VideoPart(Schema):
    """A video."""

    type: Literal["video_url"]
    video_url: TimedUrl


class AudioUrlPart(Schema):
    """A recording, by URL."""

    type: Literal["audio_url"]
    audio_url: TimedUrl


class InputAudio(Schema):
    """A recording in the request."""

    data: str = Field(json_schema_extra={"pattern": r"^[A-Za-z0-9+/\s]+=*\s*$"})
    """Base64."""
    format: str = Field(max_length=16, examples=["wav", "mp3"])
    """What the client takes it for; what it is, is judged from the bytes."""


class AudioPart(Schema):
    """A recording."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class FileReference(Schema):
    """A file: one that was uploaded, or one in the request."""

    model_config = ConfigDict(json_schema_extra=one_of("file_id", "file_data"))

    file_id: FileId | None = None
    """Id of an uploaded file; files and assets are the same."""
    file_data: str | None = None
    """Base64, or a data: URL."""
    filename: str | None = None


class FilePart(Schema):
    """A file of any kind."""

    type: Literal["file"]
    file: FileReference


class AssetPart(Schema):
    """A stored asset."""

    type: Literal["asset"]
    asset_id: FileId


Part = Annotated[
    TextPart | ImagePart | AudioPart | AudioUrlPart | VideoPart | FilePart | AssetPart,
    Field(discriminator="type"),
]
WordsPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


def _shape(content: Any) -> str:
    return "parts" if isinstance(content, list) else "words"


_Shape = Discriminator(_shape)
_Words = Annotated[str, Tag("words")]
OperatorContent = Annotated[_Words | Annotated[list[TextPart], Tag("parts")], _Shape]
UserContent = Annotated[_Words | Annotated[list[Part], Tag("parts")], _Shape]
AssistantContent = Annotated[_Words | Annotated[list[WordsPart], Tag("parts")], _Shape]


class OperatorMessage(Schema):
    """What the operator tells the model."""

    role: Literal["system", "developer"]
    content: OperatorContent


class UserMessage(Schema):
    """What the user says and shows."""

    role: Literal["user"]
    content: UserContent


class AssistantMessage(Schema):
    """An earlier answer."""

    role: Literal["assistant"]
    content: AssistantContent | None = None
    tool_calls: list[Any] | None = None


Message = Annotated[OperatorMessage | UserMessage | AssistantMessage, Field(discriminator="role")]


class StreamOptions(Schema):
    """What a stream tells."""

    include_usage: bool = False
    """Whether a last chunk tells what it took."""


class AnswerExtension(Strict):
    """What this server can do besides."""

    recall: bool = False
    """Whether stored assets that fit the question are consulted too."""
    language: Language = ""
    """ISO 639-1 code of speech in the media; "auto" detects it; empty means "en"."""
    conversation_id: str = ""
    """A conversation that lasts, which the request continues; empty: the messages are all there
    is."""
    evidence_token_budget: int = Field(0, ge=0, le=1 << 20)
    """Most tokens of evidence; 0 means the server's default."""


class ChatRequest(Schema):
    """A conversation, of which the last message is to be answered."""

    model: str
    """An id of ``/v1/models``."""
    messages: list[Message] = Field(min_length=1)
    """The last is the user's."""
    max_completion_tokens: int | None = Field(None, ge=1, le=1 << 20)
    """Most tokens of the answer; the server has a default."""
    max_tokens: int | None = Field(None, ge=1, le=1 << 20)
    """The same, by its older name."""
    temperature: float | None = Field(None, ge=0, le=2)
    """0, the default here, takes the most likely token each time."""
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    stop: StopString | Annotated[list[StopString], Field(max_length=STOP_STRINGS_MAX)] | None = None
    n: int | None = _only(minimum=1, maximum=1)
    stream: bool | None = False
    """Whether the answer comes as server-sent events, ended by ``[DONE]``."""
    stream_options: StreamOptions | None = None
    user: str | None = None
    """Accepted and not used: whose the assets are is known from the credential."""
    sensorium: AnswerExtension = AnswerExtension()

    tools: list[Any] | None = _only(maxItems=0)
    tool_choice: Any = _only(anyOf=_NO_TOOL)
    functions: list[Any] | None = _only(maxItems=0)
    function_call: Any = _only(anyOf=_NO_TOOL)
    response_format: dict[str, Any] | None = _only(properties={"type": {"const": "text"}})
    modalities: list[str] | None = _only(items={"const": "text"}, minItems=1, maxItems=1)
    audio: Any = _only(type="null")
    prediction: Any = _only(type="null")
    web_search_options: Any = _only(type="null")
    logprobs: bool | None = _only(**{"not": {"const": True}})
    top_logprobs: int | None = _only(minimum=0, maximum=0)
    logit_bias: dict[str, Any] | None = _only(maxProperties=0)
    frequency_penalty: float | None = _only(minimum=0, maximum=0)
    presence_penalty: float | None = _only(minimum=0, maximum=0)


def check_supported(request: ChatRequest) -> None:
    """Raise InvalidInput PARAM_UNSUPPORTED for what would change the answer and is not done."""
    asked = {
        "n": request.n not in (None, 1),
        "tools": bool(request.tools),
        "tool_choice": request.tool_choice not in (None, "none", "auto"),
        "functions": bool(request.functions),
        "function_call": request.function_call not in (None, "none", "auto"),
        "response_format": (request.response_format or {}).get("type", "text") != "text",
        "modalities": request.modalities not in (None, ["text"]),
        "audio": request.audio is not None,
        "prediction": request.prediction is not None,
        "web_search_options": request.web_search_options is not None,
        "logprobs": bool(request.logprobs),
        "top_logprobs": bool(request.top_logprobs),
        "logit_bias": bool(request.logit_bias),
        "frequency_penalty": bool(request.frequency_penalty),
        "presence_penalty": bool(request.presence_penalty),
    }
    for param, wanted in asked.items():
        if wanted:
            raise unsupported(param)
    for index, message in enumerate(request.messages):
        if isinstance(message, AssistantMessage) and message.tool_calls:
            raise InvalidInput(
                "PARAM_UNSUPPORTED",
                "This server does not support tool calls.",
                subject=f"messages[{index}].tool_calls",
            )
