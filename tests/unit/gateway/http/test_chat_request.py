"""What a chat request comes to: its words, its media, the names of its fields."""

import base64
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import upload_pb2

from services.gateway.http.body.json_body import parse_json
from services.gateway.http.chat.media import Media, from_base64, from_url, send_media
from services.gateway.http.chat.prompt import Prompt, read_prompt
from services.gateway.http.chat.request import ChatRequest, check_supported
from services.gateway.http.remote import RemoteFiles
from services.runtime.errors import InvalidInput
from tests.harness import make_settings

CHUNK_BYTES_MAX = 1 << 20


@pytest.fixture
def remote(tmp_path: Path) -> RemoteFiles:
    return RemoteFiles(make_settings(tmp_path))


def message(role: str, *content: str | dict[str, Any]) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return {"role": role, "content": parts}


def image(content: bytes = b"pixels", **options: str) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return {"type": "image_url", "image_url": {"url": url, **options}}


def request(*messages: dict[str, Any], **options: Any) -> ChatRequest:
    return ChatRequest.model_validate({"model": "", "messages": messages, **options})


def history(prompt: Prompt) -> list[tuple[str, str]]:
    speaker = gateway_pb2.Speaker.Name
    return [
        (speaker(said.speaker).removeprefix("SPEAKER_"), said.text)
        for said in prompt.config.history
    ]


async def sent(media: Media) -> list[gateway_pb2.StreamingConverseRequest]:
    return [message async for message in send_media(media, "file-1")]


@pytest.mark.parametrize("stop", ["Observation:", ["Observation:", "Question:"]])
def test_a_stop_string_is_as_long_as_a_word(stop: str | list[str], remote: RemoteFiles) -> None:
    prompt = read_prompt(request(message("user", "And then?"), stop=stop), remote)
    assert list(prompt.config.answer.stop) == ([stop] if isinstance(stop, str) else stop)


def test_parts_may_interleave(remote: RemoteFiles) -> None:
    stored = {"type": "asset", "asset_id": "file-0"}
    asked = request(message("user", image(), "The first,", stored, image(detail="high"), "or?"))
    prompt = read_prompt(asked, remote)
    assert prompt.question == "The first,\nor?"
    assert [media.param for media in prompt.media] == [
        "messages[0].content[0].image_url.url",
        "messages[0].content[3].image_url.url",
    ]
    assert [media.detail for media in prompt.media] == [
        upload_pb2.PICTURE_DETAIL_UNSPECIFIED,
        upload_pb2.PICTURE_DETAIL_HIGH,
    ]
    assert prompt.asset_ids == {"file-0": "messages[0].content[2].asset_id"}


def test_earlier_turns_are_history_and_their_media_is_of_the_turn(remote: RemoteFiles) -> None:
    asked = request(
        {"role": "system", "content": "Be brief."},
        message("user", image(), "What is it?"),
        {"role": "assistant", "content": "A cat."},
        message("developer", "Be polite."),
        message("user", image()),
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot tell."}]},
        {"role": "user", "content": "Why?"},
    )
    prompt = read_prompt(asked, remote)
    assert prompt.config.answer.instructions == "Be brief.\n\nBe polite."
    assert history(prompt) == [
        ("USER", "What is it?"),
        ("ASSISTANT", "A cat."),
        ("ASSISTANT", "I cannot tell."),
    ]
    assert prompt.question == "Why?"
    assert len(prompt.media) == 2


def test_what_only_tunes_another_service_is_ignored(remote: RemoteFiles) -> None:
    asked = request(
        {"role": "user", "content": "Why?", "name": "me"},
        service_tier="auto",
        parallel_tool_calls=True,
        metadata={"a": "b"},
        tools=[],
        tool_choice="auto",
        response_format={"type": "text"},
        frequency_penalty=0,
        logprobs=False,
        n=1,
        user="someone@example.org",
    )
    check_supported(asked)
    assert read_prompt(asked, remote).question == "Why?"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"model": "m"}', "messages"),
        ('{"model": "m", "messages": [{"role": "user", "content": 5}]}', "messages[0].content"),
        (
            '{"model": "m", "messages": [{"role": "user", "content": [{"type": "text"}]}]}',
            "messages[0].content[0].text",
        ),
        ('{"model": "m", "messages": "hello"}', "messages"),
        ("[]", "body"),
        ("", "body"),
    ],
)
def test_a_field_that_is_wrong_is_named(body: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json(body, ChatRequest)
    assert refused.value.subject == field


@given(st.binary(max_size=200_000), st.integers(1, 100))
async def test_base64_is_decoded_whole_whatever_its_lines(content: bytes, width: int) -> None:
    lines = "\r\n".join(textwrap.wrap(base64.b64encode(content).decode(), 4 * width)) + "\n"
    for text in (lines, lines.strip(), "".join(lines.split())):
        start, *chunks, finish = await sent(Media("param", from_base64(text, "a", "param")))
        assert b"".join(message.chunk.data for message in chunks) == content
        assert all(len(message.chunk.data) <= CHUNK_BYTES_MAX for message in chunks)
        assert start.asset_start.size_bytes == finish.asset_finish.size_bytes == len(content)


@pytest.mark.parametrize("text", ["AAA", "A===", "AAAA=AAA", "A" * 87_380 + "A*AA", "AAAé"])
async def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="BASE64_INVALID"):
        await sent(Media("param", from_base64(text, "a", "param")))


@pytest.mark.parametrize("url", ["data:", "data:,hello", "data:image/png,AAAA", "DATA:a/b;x,AA"])
def test_a_data_url_is_base64(url: str, remote: RemoteFiles) -> None:
    with pytest.raises(InvalidInput, match="DATA_URL_INVALID"):
        from_url(url, "a", "param", remote)
