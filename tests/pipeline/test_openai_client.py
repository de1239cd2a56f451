"""OpenAI's Python client, unchanged, asks about pictures, sound and films on real models."""

import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from PIL import Image, ImageDraw, ImageFont
from sensorium_client.samples import Samples

from services.runtime.calls import CallScope
from tests.pages import PrintedLine, draw_page
from tests.pipeline.platform import Platform

Parts = list[dict[str, Any]]

SHORT: dict[str, Any] = {"max_completion_tokens": 24}


@pytest.fixture
async def chat(platform: Platform) -> AsyncIterator["Chat"]:
    base_url = f"{platform.http_url}/v1"
    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield Chat(client, platform.settings.language_model)


class Chat:
    """A client and the model that it asks."""

    def __init__(self, client: AsyncOpenAI, model: str) -> None:
        self.client = client
        self.model = model

    async def ask(self, *messages: dict[str, Any], **options: Any) -> Any:
        """One answer, whole or as a stream."""
        return await self.client.chat.completions.create(
            model=self.model,
            messages=list(messages),  # type: ignore[arg-type]
            **{**SHORT, **options},
        )

    async def refused(self, *messages: dict[str, Any], **options: Any) -> openai.APIStatusError:
        """The error by which a request is refused."""
        with pytest.raises(openai.APIStatusError) as refusal:
            await self.ask(*messages, **options)
        return refusal.value


def user(*content: str | dict[str, Any]) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return {"role": "user", "content": parts}


def data_url(path: Path, mime_type: str) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def image(path: Path, detail: str = "auto") -> dict[str, Any]:
    return {
        "type": "image_url",
        "image_url": {"url": data_url(path, "image/jpeg"), "detail": detail},
    }


def audio(path: Path) -> dict[str, Any]:
    data = base64.b64encode(path.read_bytes()).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "ogg"}}


def video(path: Path) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": data_url(path, "video/mp4")}}


def words(told: dict[str, Any]) -> str:
    """All that was perceived, in words."""
    return " ".join(piece["text"] for piece in told["evidence"]).lower()


async def test_a_question_of_text_alone(chat: Chat) -> None:
    answer = await chat.ask({"role": "user", "content": "What is the capital of France?"})
    assert answer.object == "chat.completion"
    assert answer.model == chat.model
    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.completion_tokens > 0


async def test_a_stream_has_the_same_words(chat: Chat) -> None:
    question = {"role": "user", "content": "What is the capital of France?"}
    whole = await chat.ask(question, temperature=0)
    stream = await chat.ask(
        question, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    *said, last, usage = chunks
    assert said[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in said)
    assert text == whole.choices[0].message.content
    assert last.choices[0].finish_reason == whole.choices[0].finish_reason
    assert usage.choices == []
    assert usage.usage.completion_tokens == whole.usage.completion_tokens
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert last.sensorium["timings"]["first_token_s"] > 0


async def test_a_photo_a_recording_and_a_film(chat: Chat, samples: Samples) -> None:
    parts = (image(samples.photo), audio(samples.recording), video(samples.film))
    stream = await chat.ask(user("What animal is it,", *parts, "and what is said?"), stream=True)
    told = [chunk async for chunk in stream][-1].sensorium
    assert "cat" in words(told)
    assert "captain" in words(told)
    assert {piece["modality"] for piece in told["evidence"]} == {"image", "audio", "video"}
    assert [asset["media_type"] for asset in told["assets"]] == [
        "image/jpeg",
        "audio/ogg",
        "video/mp4",
    ]
    assert {citation["evidence"]["asset_id"] for citation in told["citations"]} == {
        asset["id"] for asset in told["assets"]
    }
    spans = [piece["span"] for piece in told["evidence"] if piece["modality"] == "audio"]
    assert all(0 <= span["start_s"] < span["end_s"] <= 12 for span in spans)


async def test_an_asset_is_named_and_not_sent_again(chat: Chat, samples: Samples) -> None:
    sent = (await chat.ask(user("What is it?", image(samples.photo)))).sensorium
    asset_id = sent["assets"][0]["id"]
    for part in (
        {"type": "file", "file": {"file_id": asset_id}},
        {"type": "asset", "asset_id": asset_id},
    ):
        again = (await chat.ask(user("What animal is it?", part))).sensorium
        assert "cat" in words(again)
        assert again["media_bytes"] == 0


async def test_what_was_shown_and_said_before_is_known(chat: Chat, samples: Samples) -> None:
    answer = await chat.ask(
        user("My name is Alexandra. What is this?", image(samples.photo)),
        {"role": "assistant", "content": "A cat."},
        user("Is it an animal?"),
    )
    assert "cat" in words(answer.sensorium)
    name = await chat.ask(
        user("My name is Alexandra."),
        {"role": "assistant", "content": "Hello Alexandra."},
        user("What is my name?"),
    )
    assert "Alexandra" in name.choices[0].message.content


@pytest.mark.parametrize("role", ["system", "developer"])
async def test_the_operators_message_reaches_the_model(chat: Chat, role: str) -> None:
    told = {"role": role, "content": "The secret word is BANANA. Always answer with the word."}
    answer = await chat.ask(told, user("What is the secret word?"))
    assert "BANANA" in answer.choices[0].message.content.upper()


async def test_detail_says_whether_small_writing_is_read(chat: Chat, tmp_path: Path) -> None:
    page = Image.new("RGB", (3000, 2000), "white")
    font = ImageFont.load_default(size=26)
    draw = ImageDraw.Draw(page)
    draw.text((2300, 1700), "Harbour permit 7731", fill="black", font=font)
    # Alone on the page, the line would be found in its view too.
    draw.rectangle((40, 40, 2960, 1960), outline="black", width=6)
    path = tmp_path / "page.jpg"
    page.save(path, quality=95)
    # The question does not ask for writing.
    low = await chat.ask(user("What is this?", image(path, "low")))
    high = await chat.ask(user("What is this?", image(path, "high")))
    assert "7731" not in words(low.sensorium)
    assert "7731" in words(high.sensorium)


async def test_a_view_that_answers_alone_is_read_in_full(chat: Chat, tmp_path: Path) -> None:
    """What is small in it is left to its tiles only where these are looked at."""
    lines = [
        PrintedLine(f"Harbour permit {number} is valid until May", 200, top_px, 52)
        for number, top_px in ((7731, 300), (7732, 420), (7733, 540))
    ]
    path = tmp_path / "page.jpg"
    draw_page(lines, (3000, 2000)).save(path, quality=95)
    low = await chat.ask(user("What is written here?", image(path, "low")))
    assert "7732" in words(low.sensorium)


async def test_the_answer_ends_where_it_should(chat: Chat) -> None:
    count = user("Count from one to ten in words.")
    cut = await chat.ask(count, max_completion_tokens=3)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 3
    older = await chat.ask(count, max_completion_tokens=None, max_tokens=3)
    assert older.usage.completion_tokens == 3
    seeded = [
        (await chat.ask(count, temperature=1.5, seed=-7)).choices[0].message.content
        for _ in range(2)
    ]
    assert seeded[0] == seeded[1]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"stop": [""]}, "stop"),
        ({"extra_body": {"sensorium": {"language": "klingon"}}}, "sensorium.language"),
    ],
)
async def test_what_is_not_supported_is_named(
    chat: Chat, options: dict[str, Any], param: str, samples: Samples
) -> None:
    refusal = await chat.refused(user("What is said?", audio(samples.recording)), **options)
    assert isinstance(refusal, openai.BadRequestError)
    assert refusal.param == param


BAD_PARTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "base64": (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAA*"}},
        "image_url.url",
        "BASE64_INVALID",
    ),
    "data URL": (
        {"type": "image_url", "image_url": {"url": "data:image/png,AAAA"}},
        "image_url.url",
        "DATA_URL_INVALID",
    ),
    "loopback": (
        {"type": "image_url", "image_url": {"url": "http://localhost:1/a.png"}},
        "image_url.url",
        "URL_REFUSED",
    ),
    "not media": (
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAECAwQF"}},
        "video_url.url",
        "UNSUPPORTED_MEDIA",
    ),
    "unknown type": ({"type": "hologram"}, "", "FIELD_INVALID"),
    "nothing": ({"type": "file", "file": {}}, "file.file_id", "FILE_MISSING"),
}


@pytest.mark.parametrize("case", BAD_PARTS)
async def test_a_bad_part_is_named(chat: Chat, platform: Platform, case: str) -> None:
    part, param, code = BAD_PARTS[case]
    refusal = await chat.refused(user("What is it?", part), stream=True)
    assert isinstance(refusal, openai.BadRequestError)
    assert refusal.code == code
    assert refusal.param == "messages[0].content[1]" + (f".{param}" if param else "")
    await platform.at_rest(10.0)


async def test_what_there_is_not_is_not_found(chat: Chat) -> None:
    missing = {"type": "file", "file": {"file_id": "file-none"}}
    refusal = await chat.refused(user("What is it?", missing))
    assert isinstance(refusal, openai.NotFoundError)
    assert refusal.param == "messages[0].content[1].file.file_id"
    chat.model = "gpt-none"
    unknown = await chat.refused(user("What is it?"))
    assert isinstance(unknown, openai.NotFoundError)
    assert unknown.param == "model"


async def test_too_much_at_once_is_a_rate_limit(chat: Chat, platform: Platform) -> None:
    with contextlib.ExitStack() as taken:
        for _ in range(platform.settings.turns_max):
            taken.enter_context(platform.admission.permit(CallScope()))
        refusal = await chat.refused(user("What is it?"))
    assert isinstance(refusal, openai.RateLimitError)
    assert refusal.response.headers["retry-after"] == "1"


async def test_models_are_listed(chat: Chat) -> None:
    listed = {model.id: model async for model in chat.client.models.list()}
    assert {chat.model, "minilm-efficientnet-2", "whisper-1"} <= listed.keys()
    assert (await chat.client.models.retrieve(chat.model)).created == listed[chat.model].created > 0
    with pytest.raises(openai.NotFoundError):
        await chat.client.models.retrieve("gpt-none")
