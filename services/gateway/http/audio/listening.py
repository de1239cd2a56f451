"""One transcription, from the first byte of its form to the last word of its answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import BaseModel
from sensorium.gateway.v1 import gateway_pb2
from starlette.requests import Request

from services.gateway.fields import named
from services.gateway.http import sse
from services.gateway.http.audio.events import AnswerDelta, AnswerDone, TextDelta, TextDone
from services.gateway.http.audio.heard import Heard, Stored, Transcript, read_heard
from services.gateway.http.audio.request import IN_JSON, TranscribeForm, TranscriptionForm
from services.gateway.http.body.multipart import read_form
from services.gateway.http.evidence import Citation, to_citation
from services.gateway.http.files.objects import duration_s
from services.gateway.http.files.uploads import FormUpload, Labels, discard, store
from services.gateway.http.front import Front
from services.gateway.question import check_question
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput
from services.runtime.streams import Emit

MEDIA_TYPES = {
    "text": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
# What the calls name a field -> what the form does.
FIELDS = {
    "config.perception.language": "language",
    "config.language": "language",
    "language": "language",
    "question": "prompt",
    "config.messages": "prompt",
    "text": "prompt",
}


class Listening:
    """Stores a file, tells its words, and answers the prompt over them. ``run`` emits what is to
    be sent: events if ``streamed``, else one body of ``media_type``; both are known by then."""

    def __init__(self, front: Front, request: Request, model: type[TranscriptionForm]) -> None:
        self.streamed = False
        self.media_type = sse.JSON
        self._front = front
        self._request = request
        self._model = model
        self._transcript = Transcript()
        self._told = 0
        """Sentences that were streamed."""

    async def run(self, emit: Emit[bytes]) -> None:
        """Raises SensoriumError; ClientDisconnect when the client goes away, which ends the
        work."""
        async with (
            # The media is stored on the way, as that of a question is.
            self._front.enter(self._request, "StreamingConverse") as scope,
            aclosing(read_form(self._request)) as parts,
        ):
            upload = FormUpload(parts, self._model)
            with named(FIELDS):
                async with sse.while_there(self._request, upload.body_read):
                    await self._hear(emit, scope, upload)
                    await self._tell(emit, scope, upload.request)

    async def _hear(
        self, emit: Emit[bytes], scope: CallScope, upload: FormUpload[TranscriptionForm]
    ) -> None:
        await upload.open()
        early = upload.request
        self._check(early)
        self.streamed = early.stream
        self._transcript.file_id = upload.asset_id
        perception = gateway_pb2.PerceptionOptions(
            language=early.language, word_times=early.word_times
        )
        config = gateway_pb2.UploadConfig(perception=perception)
        messages = upload.messages(self._labels)
        events = store(self._front.calls, scope, config, messages, words_awaited=early.stream)
        silent = False
        async with aclosing(events):
            async for event in events:
                kind = event.WhichOneof("event")
                match kind:
                    case "ready":
                        self._transcript.trace_id = event.ready.trace_id
                    case "asset_info":
                        silent = not event.asset_info.has_audio
                    case "transcript":
                        await self._add(emit, read_heard(event.transcript))
                    case "asset":
                        self._transcript.duration_s = duration_s(event.asset.info) or 0.0
                # What is being stored already is waited for, to be taken out again.
                if silent and (kind == "asset" or not upload.body_read.is_set()):
                    break
        if silent:
            await discard(self._front.calls, scope, upload.asset_id)
            raise InvalidInput("NO_SOUND", "The file has no sound.", subject="file")
        form = upload.request
        if (form.language, form.word_times) != (early.language, early.word_times):
            await self._hear_again(emit, scope, form)

    def _labels(self, form: TranscriptionForm) -> Labels:
        # Before the file is stored.
        self._check(form)
        return Labels()

    def _check(self, form: TranscriptionForm) -> None:
        if form.question and form.response_format not in IN_JSON:
            raise InvalidInput(
                "FORMAT_UNFIT",
                "An answer comes with the formats json and verbose_json.",
                subject="format",
            )
        if form.question:
            check_question(form.question, self._front.settings.question_characters_max)

    async def _hear_again(
        self, emit: Emit[bytes], scope: CallScope, form: TranscriptionForm
    ) -> None:
        """As the fields want it that came after the file."""
        if self._told:
            raise InvalidInput(
                "FIELD_TOO_LATE",
                "Send language and formats before the file of a streamed transcription.",
                subject="language",
            )
        self._transcript.heard.clear()
        wanted = gateway_pb2.TranscribeRequest(
            asset_id=self._transcript.file_id, language=form.language, word_times=form.word_times
        )
        async with aclosing(self._front.calls.transcribe(scope, wanted)) as responses:
            async for response in responses:
                if response.HasField("transcript"):
                    await self._add(emit, read_heard(response))

    async def _add(self, emit: Emit[bytes], heard: Heard) -> None:
        self._transcript.heard.append(heard)
        if self.streamed:
            await self._tell_words(emit)

    async def _tell_words(self, emit: Emit[bytes]) -> None:
        """Stream what was heard and not told."""
        for each in self._transcript.heard[self._told :]:
            blank = " " if self._told else ""
            self._told += 1
            span = each.span
            delta = TextDelta(delta=blank + each.text, start=span.start_s, end=span.end_s)
            await emit(sse.event(delta))

    async def _tell(self, emit: Emit[bytes], scope: CallScope, form: TranscriptionForm) -> None:
        if form.stream:
            self.streamed = True
            await self._tell_words(emit)
            stored = Stored(file_id=self._transcript.file_id, trace_id=self._transcript.trace_id)
            await emit(sse.event(TextDone(text=self._transcript.text, sensorium=stored)))
            if form.question:
                await self._stream_answer(emit, scope, form.question)
            await emit(sse.DONE)
            return
        written = form.response_format
        if written in ("srt", "vtt"):
            self.media_type = MEDIA_TYPES[written]
            await emit(self._transcript.subtitles(written).encode())
        elif written == "text":
            self.media_type = MEDIA_TYPES[written]
            await emit(f"{self._transcript.text}\n".encode())
        else:
            await emit((await self._object(scope, form)).model_dump_json().encode())

    async def _object(self, scope: CallScope, form: TranscriptionForm) -> BaseModel:
        verbose = form.response_format == "verbose_json"
        if isinstance(form, TranscribeForm):
            words: list[str] = []
            citations: list[Citation] = []
            async with aclosing(self._answer(scope, form.question)) as answer_pieces:
                async for piece in answer_pieces:
                    if isinstance(piece, str):
                        words.append(piece)
                    else:
                        citations.append(piece)
            answer = "".join(words) if form.question else None
            times = verbose or form.include_timestamps
            return self._transcript.answered(answer, citations, times=times)
        if verbose:
            granularities = form.timestamp_granularities or ["segment"]
            return self._transcript.verbose(
                segments="segment" in granularities, words="word" in granularities
            )
        return self._transcript.plain()

    async def _stream_answer(self, emit: Emit[bytes], scope: CallScope, question: str) -> None:
        words: list[str] = []
        citations: list[Citation] = []
        async with aclosing(self._answer(scope, question)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    words.append(piece)
                    await emit(sse.event(AnswerDelta(delta=piece)))
                else:
                    citations.append(piece)
        await emit(sse.event(AnswerDone(text="".join(words), citations=citations)))

    async def _answer(
        self, scope: CallScope, question: str
    ) -> AsyncGenerator[str | Citation, None]:
        """The answer piece by piece, then what it rests on; nothing without a question."""
        if not question:
            return
        ask = gateway_pb2.AskRequest(question=question, asset_ids=[self._transcript.file_id])
        async with aclosing(self._front.calls.ask(scope, ask)) as events:
            async for event in events:
                match event.WhichOneof("event"):
                    case "token":
                        yield event.token.text
                    case "citation":
                        yield to_citation(event.citation)
