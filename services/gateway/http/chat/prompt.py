"""A chat request as the contract has it: config, history, question, media."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import upload_pb2

from services.gateway.http.body.multipart import safe_filename
from services.gateway.http.chat.media import Media, from_base64, from_url
from services.gateway.http.chat.request import (
    AssetPart,
    AssistantMessage,
    AudioPart,
    AudioUrlPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Message,
    OperatorMessage,
    Part,
    RefusalPart,
    TextPart,
    UserMessage,
    VideoPart,
)
from services.gateway.http.remote import RemoteFiles
from services.runtime.errors import InvalidInput, LimitExceeded

MEDIA_MAX = 32
"""Pieces of media in one request."""
DETAILS = {
    "auto": upload_pb2.PICTURE_DETAIL_UNSPECIFIED,
    "low": upload_pb2.PICTURE_DETAIL_LOW,
    "high": upload_pb2.PICTURE_DETAIL_HIGH,
}
# What the fields of the contract are called here.
FIELDS = {
    "text": "messages",
    "config.messages": "messages",
    "config.answer.instructions": "messages",
    "config.answer.model": "model",
    "config.answer.max_tokens": "max_completion_tokens",
    "config.perception.language": "sensorium.language",
    "conversation_id": "sensorium.conversation_id",
    "config.conversation_id": "sensorium.conversation_id",
    "asset_ids": "messages",
    **{f"config.answer.{name}": name for name in ("temperature", "top_p", "stop", "seed")},
}


@dataclass(slots=True)
class Prompt:
    """What a request comes to."""

    config: gateway_pb2.ConverseConfig
    question: str = ""
    media: list[Media] = field(default_factory=list)
    """Of all messages: what was shown before is evidence too."""
    asset_ids: dict[str, str] = field(default_factory=dict)
    """Stored assets, and the field that names each."""


def read_prompt(request: ChatRequest, remote: RemoteFiles) -> Prompt:
    """Raises InvalidInput MESSAGES_INVALID, FILE_MISSING or as ``from_url``; LimitExceeded
    TOO_MANY_MEDIA."""
    prompt = Prompt(_config(request))
    if not isinstance(request.messages[-1], UserMessage):
        raise InvalidInput(
            "MESSAGES_INVALID",
            "The last message must be the user's.",
            subject=f"messages[{len(request.messages) - 1}].role",
        )
    instructions: list[str] = []
    said: list[gateway_pb2.PriorMessage] = []
    for index, message in enumerate(request.messages):
        text = _words(message)
        if isinstance(message, OperatorMessage):
            instructions.append(text)
            continue
        if isinstance(message, UserMessage) and not isinstance(message.content, str):
            for position, part in enumerate(message.content):
                _take(prompt, part, f"messages[{index}].content[{position}]", remote)
        if text.strip():
            speaker = (
                gateway_pb2.SPEAKER_ASSISTANT
                if isinstance(message, AssistantMessage)
                else gateway_pb2.SPEAKER_USER
            )
            said.append(gateway_pb2.PriorMessage(speaker=speaker, text=text))
    prompt.question = _words(request.messages[-1])
    if prompt.question.strip():
        said.pop()
    prompt.config.answer.instructions = "\n\n".join(instructions)
    prompt.config.history.extend(said)
    return prompt


def _config(request: ChatRequest) -> gateway_pb2.ConverseConfig:
    answer = gateway_pb2.AnswerOptions(
        model=request.model,
        max_tokens=request.max_completion_tokens or request.max_tokens or 0,
        temperature=request.temperature or 0.0,
        top_p=request.top_p or 0.0,
        stop=[request.stop] if isinstance(request.stop, str) else request.stop,
        evidence_token_budget=request.sensorium.evidence_token_budget,
        recall=request.sensorium.recall,
    )
    if request.seed is not None:
        # OpenAI's have 64 bits.
        answer.seed = request.seed % (1 << 32)
    perception = gateway_pb2.PerceptionOptions(language=request.sensorium.language)
    return gateway_pb2.ConverseConfig(
        answer=answer,
        perception=perception,
        conversation_id=request.sensorium.conversation_id,
    )


def _words(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "\n".join(_spoken(message.content or ()))


def _spoken(parts: Sequence[Part | RefusalPart]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, TextPart):
            yield part.text
        elif isinstance(part, RefusalPart):
            yield part.refusal


def _take(prompt: Prompt, part: Part, param: str, remote: RemoteFiles) -> None:
    """Note the media of a part."""
    name = f"{part.type.partition('_')[0]}-{len(prompt.media) + 1}"
    if isinstance(part, ImagePart):
        param = f"{param}.image_url.url"
        opening = from_url(part.image_url.url, name, param, remote)
        prompt.media.append(Media(param, opening, DETAILS[part.image_url.detail]))
    elif isinstance(part, VideoPart):
        param = f"{param}.video_url.url"
        prompt.media.append(Media(param, from_url(part.video_url.url, name, param, remote)))
    elif isinstance(part, AudioUrlPart):
        param = f"{param}.audio_url.url"
        prompt.media.append(Media(param, from_url(part.audio_url.url, name, param, remote)))
    elif isinstance(part, AudioPart):
        param = f"{param}.input_audio.data"
        audio = part.input_audio
        name = f"audio-{len(prompt.media) + 1}.{audio.format}"
        prompt.media.append(Media(param, from_base64(audio.data, safe_filename(name), param)))
    elif isinstance(part, AssetPart):
        prompt.asset_ids[part.asset_id] = f"{param}.asset_id"
    elif isinstance(part, FilePart):
        _take_file(prompt, part, f"{param}.file", remote)
    if len(prompt.media) > MEDIA_MAX:
        raise LimitExceeded(
            "TOO_MANY_MEDIA", f"At most {MEDIA_MAX} pieces of media are taken.", subject=param
        )


def _take_file(prompt: Prompt, part: FilePart, param: str, remote: RemoteFiles) -> None:
    file = part.file
    if file.file_id:
        prompt.asset_ids[file.file_id] = f"{param}.file_id"
    elif file.file_data:
        param = f"{param}.file_data"
        name = safe_filename(file.filename or f"file-{len(prompt.media) + 1}")
        data = file.file_data
        opening = (
            from_url(data, name, param, remote)
            if data.startswith("data:")
            else from_base64(data, name, param)
        )
        prompt.media.append(Media(param, opening))
    else:
        raise InvalidInput(
            "FILE_MISSING", "A file needs file_id or file_data.", subject=f"{param}.file_id"
        )
