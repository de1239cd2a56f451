"""One chat completion, from the request's first byte to the answer's last."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from starlette.requests import Request

from services.gateway.fields import named
from services.gateway.http import models, sse
from services.gateway.http.body.json_body import parse_json
from services.gateway.http.body.multipart import (
    FormField,
    FormFile,
    FormPart,
    is_multipart,
    read_form,
)
from services.gateway.http.chat.media import (
    Media,
    OpenMedia,
    end_turn,
    new_asset_id,
    question,
    send_media,
)
from services.gateway.http.chat.prompt import FIELDS, MEDIA_MAX, Prompt, read_prompt
from services.gateway.http.chat.request import ChatRequest, check_supported
from services.gateway.http.chat.response import Answer
from services.gateway.http.chat.telling import StreamedAnswer, WholeAnswer
from services.gateway.http.front import Front
from services.gateway.pipeline import TurnMessage
from services.gateway.question import check_question
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput, LimitExceeded
from services.runtime.streams import Emit

REQUEST_FIELD = "request"
"""Of a form: the JSON of the request. It comes first; the files belong to the last message."""

Form = AsyncGenerator[FormPart, None]


class Completion:
    """Reads a request and answers it. ``run`` emits what is to be sent: pieces of a stream of
    events if ``streamed``, which is known by then, or the one object."""

    def __init__(self, front: Front, request: Request) -> None:
        self.streamed = False
        self.media_type = sse.JSON
        self._front = front
        self._request = request
        self._body_read = asyncio.Event()
        # What the request calls the fields and the assets that an error may be about.
        self._names = dict(FIELDS)

    async def run(self, emit: Emit[bytes]) -> None:
        """Raises SensoriumError; ClientDisconnect when the client goes away, which ends the
        work."""
        async with (
            sse.while_there(self._request, self._body_read),
            self._front.enter(self._request, "StreamingConverse") as scope,
        ):
            with named(self._names):
                if is_multipart(self._request):
                    async with aclosing(read_form(self._request)) as form:
                        await self._answer(emit, scope, await _request_field(form), form)
                else:
                    body = await self._request.body()
                    self._body_read.set()
                    await self._answer(emit, scope, body, None)

    async def _answer(
        self, emit: Emit[bytes], scope: CallScope, body: bytes | str, form: Form | None
    ) -> None:
        chat = parse_json(body, ChatRequest)
        check_supported(chat)
        models.check_language_model(chat.model, self._front.settings)
        prompt = read_prompt(chat, self._front.remote)
        self._names |= prompt.asset_ids
        # Nothing is stored for a request that cannot be answered.
        check_question(prompt.question, self._front.settings.question_characters_max)
        answer = Answer(self._front.settings.language_model)
        self.streamed = bool(chat.stream)
        with_usage = bool(chat.stream_options and chat.stream_options.include_usage)
        tell = (
            StreamedAnswer(answer, emit, with_usage=with_usage)
            if self.streamed
            else WholeAnswer(answer, emit)
        )
        async with (
            aclosing(self._messages(prompt, form)) as messages,
            aclosing(self._front.calls.converse(scope, prompt.config, messages)) as events,
        ):
            async for event in events:
                answer.note(event)
                await tell.event(event)
                if event.WhichOneof("event") == "turn_complete":
                    # The media is indexed whether or not anybody waits for it.
                    return

    async def _messages(
        self, prompt: Prompt, form: Form | None
    ) -> AsyncGenerator[TurnMessage, None]:
        yield question(prompt.question)
        async with aclosing(_all_media(prompt, form)) as pieces:
            async for media in pieces:
                asset_id = new_asset_id()
                # One asset is sent after another, and its name is judged with its first bytes.
                self._names |= {asset_id: media.param, "name": media.param}
                async with aclosing(send_media(media, asset_id)) as messages:
                    async for message in messages:
                        yield message
        self._body_read.set()
        yield end_turn(tuple(prompt.asset_ids))


async def _request_field(form: Form) -> str:
    first = await anext(form, None)
    if not isinstance(first, FormField) or first.name != REQUEST_FIELD:
        raise InvalidInput(
            "REQUEST_MISSING",
            f"The first part of the form must be {REQUEST_FIELD}, the JSON of the request; the "
            "files follow it.",
            subject=REQUEST_FIELD,
        )
    return first.value


async def _all_media(prompt: Prompt, form: Form | None) -> AsyncGenerator[Media, None]:
    """The media of the messages, then the files of the form as they come."""
    for media in prompt.media:
        yield media
    count = len(prompt.media)
    async for part in form or _nothing():
        if not isinstance(part, FormFile):
            raise InvalidInput(
                "FIELD_UNKNOWN", f"A form has {REQUEST_FIELD} and files.", subject=part.name
            )
        count += 1
        if count > MEDIA_MAX:
            raise LimitExceeded(
                "TOO_MANY_MEDIA",
                f"At most {MEDIA_MAX} pieces of media are taken.",
                subject=part.name,
            )
        yield _form_media(part)


def _form_media(file: FormFile) -> Media:
    @asynccontextmanager
    async def read() -> AsyncIterator[OpenMedia]:
        yield OpenMedia(file.filename, 0, file.chunks)

    return Media(file.name, read)


async def _nothing() -> Form:
    nothing: tuple[FormPart, ...] = ()
    for part in nothing:
        yield part
