"""``/v1/audio`` with OpenAI's own client, in every format, while it is sent and after."""

import asyncio
import re
import shutil
from typing import Any

import httpx2
import openai as openai_errors
import pytest
from openai import AsyncOpenAI
from sensorium_client.samples import Samples

from tests import media as tests_media
from tests.pipeline.http_bodies import END, FORM, events_of, part
from tests.pipeline.platform import Platform
from tests.pipeline.test_files_over_http import parts_of_uploads
from tests.voices import spoken

MODEL = "whisper-1"
COUNT = "Write down every number from 1 to 1000, one after the other."
"""A prompt whose answer goes on for long, as that of other prompts about a recording does not."""


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def form_of(content: bytes, **fields: str) -> bytes:
    """A form of fields and a file."""
    parts = [part(name, value.encode()) for name, value in fields.items()]
    return b"".join([*parts, part("file", content, "a.ogg"), END])


async def posting(
    platform: Platform, path: str, length: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a form of so many bytes is being posted."""
    url = httpx2.URL(platform.http_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {url.host}\r\nConnection: close\r\n"
        f"Content-Type: {FORM['Content-Type']}\r\nContent-Length: {length}\r\n\r\n"
    )
    writer.write(head.encode())
    return reader, writer


async def test_a_recording_is_written_in_every_format(
    openai: AsyncOpenAI, samples: Samples
) -> None:
    async def written(**options: Any) -> Any:
        return await openai.audio.transcriptions.create(
            file=samples.recording, model=MODEL, **options
        )

    plain = await written()
    said = words_of(plain.text)
    assert "island" in said
    assert plain.usage.seconds > 3
    verbose = await written(
        response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert words_of(verbose.text) == said
    assert verbose.language == "en"
    assert words_of(" ".join(segment.text for segment in verbose.segments)) == said
    assert words_of(" ".join(word.word for word in verbose.words)) == said
    starts = [word.start for word in verbose.words]
    assert starts == sorted(starts) and starts[0] >= 0 and starts[-1] < verbose.duration
    assert all(segment.avg_logprob <= 0 for segment in verbose.segments)
    by_default = await written(response_format="verbose_json")
    assert by_default.segments and by_default.words is None

    assert words_of(await written(response_format="text")) == said
    srt = await written(response_format="srt")
    assert srt.startswith("1\n00:00:")
    vtt = await written(response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:")
    cues = [line for line in vtt.split("\n")[1:] if line and "-->" not in line]
    assert words_of(" ".join(cues)) == said


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs Debian's espeak-ng")
async def test_the_language_is_detected_unless_it_is_told(openai: AsyncOpenAI) -> None:
    sound = await asyncio.to_thread(spoken, "Guten Morgen, meine Damen und Herren.", "de")

    async def heard(**options: str) -> Any:
        asked: Any = {"model": MODEL, "response_format": "verbose_json", **options}
        return await openai.audio.transcriptions.create(
            file=("greeting.wav", tests_media.wav(sound)), **asked
        )

    for options in ({}, {"language": ""}, {"language": "auto"}, {"language": "de"}):
        german = await heard(**options)
        assert german.language == "de"
        assert "Guten Morgen" in german.text
    assert (await heard(language="en")).language == "en"


async def test_words_come_while_the_file_is_still_being_sent(
    platform: Platform, openai: AsyncOpenAI, samples: Samples
) -> None:
    stream = await openai.audio.transcriptions.create(
        file=samples.recording, model=MODEL, stream=True
    )
    *deltas, done = [event async for event in stream]
    assert done.type == "transcript.text.done"
    assert "".join(d.delta for d in deltas if d.type == "transcript.text.delta") == done.text

    # The official clients read nothing before they have sent all.
    body = form_of(await asyncio.to_thread(samples.recording.read_bytes), stream="true")
    reader, writer = await posting(platform, "/v1/audio/transcriptions", len(body))
    writer.write(body[:-20])
    received = await reader.readuntil(b"transcript.text.delta")
    writer.write(body[-20:])
    received += await reader.read()
    writer.close()
    assert received.startswith(b"HTTP/1.1 200")
    assert b"transcript.text.done" in received


@pytest.mark.usefixtures("long_answers")
async def test_a_client_that_leaves_ends_the_work(platform: Platform, samples: Samples) -> None:
    content = await asyncio.to_thread(samples.recording.read_bytes)
    body = form_of(content, stream="true", prompt=COUNT)
    reader, writer = await posting(platform, "/v1/audio/transcribe", len(body))
    writer.write(body)
    await reader.readuntil(b"answer.text.delta")
    assert platform.generate.active_slots == 1
    writer.close()
    await platform.at_rest(10)


async def test_a_question_is_answered_over_what_was_said(
    web: httpx2.AsyncClient, samples: Samples
) -> None:
    content = await asyncio.to_thread(samples.recording.read_bytes)
    files = {"file": ("speech.ogg", content)}
    form = {"prompt": "Who built the light house?", "include_timestamps": "true"}
    response = await web.post("/v1/audio/transcribe", data=form, files=files)
    assert response.status_code == 200, response.text
    told = response.json()
    assert "island" in told["text"].lower()
    assert told["answer"].strip()
    assert told["segments"] and told["words"]
    assert {each["evidence"]["origin"] for each in told["citations"]} == {"speech"}
    stored = await web.get(f"/v1/files/{told['sensorium']['file_id']}/content")
    assert stored.content == content

    response = await web.post("/v1/audio/transcribe", data={**form, "stream": "true"}, files=files)
    events = events_of(response.text)
    kinds = list(dict.fromkeys(event["type"] for event in events))
    assert kinds == [
        *("transcript.text.delta", "transcript.text.done"),
        *("answer.text.delta", "answer.text.done"),
    ]
    assert events[-1]["text"] == told["answer"]
    without = await web.post("/v1/audio/transcribe", data={"format": "srt"}, files=files)
    assert without.text.startswith("1\n00:00:")


async def test_fields_after_the_file_count_too(web: httpx2.AsyncClient, samples: Samples) -> None:
    content = await asyncio.to_thread(samples.recording.read_bytes)
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.ogg"\r\n\r\n' + content
    for name, value in (
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
    ):
        head = f'\r\n--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
        body += head.encode()
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await web.post(
        "/v1/audio/transcriptions", content=body + b"\r\n--b--", headers=headers
    )
    told = response.json()
    assert told["segments"] is None
    assert words_of(" ".join(word["word"] for word in told["words"])) == words_of(told["text"])


@pytest.mark.parametrize(
    "form, code, param",
    [
        ({"response_format": "pdf"}, "FIELD_INVALID", "response_format"),
        ({"timestamp_granularities[]": "letter"}, "FIELD_INVALID", "timestamp_granularities[0]"),
        ({"stream": "perhaps"}, "FIELD_INVALID", "stream"),
        ({"language": "xx"}, "LANGUAGE_UNKNOWN", "language"),
        ({"prompt": "What?", "format": "srt"}, "FORMAT_UNFIT", "format"),
        ({"prompt": "Who?", "response_format": "text"}, "FORMAT_UNFIT", "format"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_stored(
    platform: Platform,
    web: httpx2.AsyncClient,
    samples: Samples,
    form: dict[str, str],
    code: str,
    param: str,
) -> None:
    before = (await web.get("/v1/files")).json()
    content = await asyncio.to_thread(samples.recording.read_bytes)
    path = "transcriptions" if "prompt" not in form else "transcribe"
    response = await web.post(f"/v1/audio/{path}", data=form, files={"file": ("a", content)})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    assert (await web.get("/v1/files")).json() == before
    await platform.at_rest(10)
    assert parts_of_uploads(platform) == []


async def test_what_has_no_sound_is_refused_and_not_kept(
    openai: AsyncOpenAI, web: httpx2.AsyncClient, samples: Samples
) -> None:
    before = (await web.get("/v1/files")).json()
    with pytest.raises(openai_errors.BadRequestError) as caught:
        await openai.audio.transcriptions.create(file=samples.photo, model=MODEL)
    assert (caught.value.code, caught.value.param) == ("NO_SOUND", "file")
    assert (await web.get("/v1/files")).json() == before
