"""One question over one video, whose frames are chosen as the request says."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

from pydantic import ConfigDict, Field
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2
from starlette.requests import Request

from services.gateway.fields import named
from services.gateway.http import models, sse
from services.gateway.http.body.json_body import read_json
from services.gateway.http.body.multipart import is_multipart, read_form
from services.gateway.http.chat.media import (
    TURN_ID,
    Media,
    end_turn,
    from_url,
    new_asset_id,
    question,
    send_media,
)
from services.gateway.http.chat.response import Answer
from services.gateway.http.chat.telling import StreamedAnswer, WholeAnswer
from services.gateway.http.files.uploads import FormUpload, Labels, discard
from services.gateway.http.front import Front
from services.gateway.http.schema import Language, MediaUrl, Strict, Words
from services.gateway.pipeline import TurnMessage
from services.gateway.question import check_question
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput
from services.runtime.streams import Emit

METHODS = {
    "uniform": media_pb2.FRAME_SAMPLING_METHOD_UNIFORM,
    "keyframes": media_pb2.FRAME_SAMPLING_METHOD_KEYFRAMES,
    "scene": media_pb2.FRAME_SAMPLING_METHOD_SCENE,
}
# What the contract names a field -> what the request does.
FIELDS = {
    "text": "prompt",
    "config.messages": "prompt",
    "config.answer.model": "model",
    "config.answer.max_tokens": "max_tokens",
    "config.answer.temperature": "temperature",
    "config.perception.language": "language",
    "config.perception.frame_sampling.method": "frame_sampling",
}


class VideoOptions(Strict):
    """What is asked, and how it is looked for."""

    prompt: Words
    """The question, at most 8,000 characters."""
    frame_sampling: Literal["uniform", "keyframes", "scene"] = "uniform"
    """uniform: frames at even distances; keyframes: those that the video was stored with; scene:
    one of each shot."""
    max_frames: int | None = Field(None, ge=1, le=256)
    """Most frames that are looked at; the server has a default."""
    stream: bool = False
    """Whether the answer comes as server-sent events, ended by ``[DONE]``."""
    model: str = ""
    """The language model; empty means the server's."""
    language: Language = ""
    """ISO 639-1 code of the speech; "auto" detects it; empty means "en"."""
    max_tokens: int = Field(0, ge=0, le=1 << 20)
    """Most tokens of the answer; 0 means the server's default."""
    temperature: float = Field(0.0, ge=0, le=2)
    """0 takes the most likely token each time."""


class VideoRequest(VideoOptions):
    """A question over a video by URL."""

    video_url: MediaUrl
    """``data:video/...;base64,...``, or http(s)."""


class VideoForm(VideoOptions):
    """The fields beside a video. Those that come after it may only tell the prompt."""

    model_config = ConfigDict(json_schema_extra={"required": ["prompt"]})

    prompt: Words = ""
    """The question, at most 8,000 characters. Best before the video, which is then
    looked at with it in mind."""


class VideoAnalysis:
    """Reads a request and answers it; see ``sse.Work``."""

    def __init__(self, front: Front, request: Request) -> None:
        self.streamed = False
        self.media_type = sse.JSON
        self._front = front
        self._request = request
        self._subject = "file"
        self._asset_id = new_asset_id()
        self._all_sent = False
        """Whether the video is being stored, and no longer taken in."""

    async def run(self, emit: Emit[bytes]) -> None:
        """See ``sse.Work``."""
        async with self._front.enter(self._request, "StreamingConverse") as scope:
            if is_multipart(self._request):
                async with aclosing(read_form(self._request)) as parts:
                    upload = FormUpload(parts, VideoForm)
                    await upload.open()
                    self._asset_id = upload.asset_id
                    if upload.request.prompt:
                        # Before the video is taken in.
                        self._check_prompt(upload.request.prompt)
                    async with sse.while_there(self._request, upload.body_read):
                        await self._answer(emit, scope, upload.request, self._form(upload))
            else:
                body = await read_json(self._request, VideoRequest)
                self._subject = "video_url"
                self._check_prompt(body.prompt)
                async with sse.while_there(self._request):
                    await self._answer(emit, scope, body, self._url(body))

    async def _answer(
        self,
        emit: Emit[bytes],
        scope: CallScope,
        options: VideoOptions,
        messages: AsyncGenerator[TurnMessage, None],
    ) -> None:
        models.check_language_model(options.model, self._front.settings)
        answer = Answer(self._front.settings.language_model)
        self.streamed = options.stream
        tell = (
            StreamedAnswer(answer, emit, with_usage=True)
            if self.streamed
            else WholeAnswer(answer, emit)
        )
        unseen = False
        # The client knows its file by the field that it came in.
        with named({**FIELDS, self._asset_id: self._subject}):
            events = self._front.calls.converse(scope, _config(options), messages)
            async with aclosing(messages), aclosing(events):
                async for event in events:
                    kind = event.WhichOneof("event")
                    if kind == "asset_info":
                        unseen = not event.asset_info.has_video
                    # What is being stored already is waited for, to be taken out again.
                    if unseen and (kind == "asset" or not self._all_sent):
                        break
                    answer.note(event)
                    await tell.event(event)
                    if kind == "turn_complete":
                        return
        if unseen:
            await discard(self._front.calls, scope, self._asset_id)
            raise InvalidInput("NO_VIDEO", "The file is no video.", subject=self._subject)

    async def _url(self, body: VideoRequest) -> AsyncGenerator[TurnMessage, None]:
        yield question(body.prompt)
        opening = from_url(body.video_url, "video", "video_url", self._front.remote)
        async with aclosing(send_media(Media("video_url", opening), self._asset_id)) as messages:
            async for message in messages:
                self._all_sent = message.HasField("asset_finish")
                yield message
        yield end_turn(())

    async def _form(self, upload: FormUpload[VideoForm]) -> AsyncGenerator[TurnMessage, None]:
        early = upload.request

        def check(form: VideoForm) -> Labels:
            self._check_prompt(form.prompt)
            known = early.model_dump()
            for name, value in form.model_dump(exclude={"prompt"}).items():
                if value != known[name]:
                    raise InvalidInput(
                        "FIELD_TOO_LATE",
                        "Send all fields but the prompt before the file.",
                        subject=name,
                    )
            return Labels()

        if early.prompt:
            yield question(early.prompt)
        async with aclosing(upload.messages(check)) as messages:
            async for message in messages:
                kind = message.WhichOneof("message")
                self._all_sent = kind == "asset_finish"
                yield TurnMessage(turn_id=TURN_ID, **{kind: getattr(message, kind)})  # type: ignore[arg-type]
        if not early.prompt:
            yield question(upload.request.prompt)
        yield end_turn(())

    def _check_prompt(self, prompt: str) -> None:
        with named(FIELDS):
            check_question(prompt, self._front.settings.question_characters_max)


def _config(options: VideoOptions) -> gateway_pb2.ConverseConfig:
    return gateway_pb2.ConverseConfig(
        answer=gateway_pb2.AnswerOptions(
            model=options.model, max_tokens=options.max_tokens, temperature=options.temperature
        ),
        perception=gateway_pb2.PerceptionOptions(
            language=options.language,
            frame_sampling=media_pb2.FrameSampling(
                method=METHODS[options.frame_sampling], frame_count_max=options.max_frames or 0
            ),
        ),
    )
