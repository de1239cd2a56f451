"""What the server does not know, or does not do, is refused by name and not passed over."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError

from tests.contract.gateway.http.door import open_door
from tests.harness import make_settings

WORDS = {"type": "text", "content": "a harbour"}
ASKED = {"role": "user", "content": "What is it?"}


@pytest.fixture(scope="module")
async def web(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx2.AsyncClient]:
    settings = make_settings(tmp_path_factory.mktemp("door"))
    async with (
        open_door(settings) as door,
        httpx2.AsyncClient(base_url=door.server.url) as web,
    ):
        yield web


@pytest.fixture
async def openai(web: httpx2.AsyncClient) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{web.base_url}/v1", api_key="none") as openai:
        yield openai


def refusal(response: httpx2.Response) -> tuple[int, str, str]:
    """Status, code, and the field at fault."""
    error = response.json()["error"]
    return response.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("search", {"query": WORDS, "topk": 3}, "topk"),
        ("search", {"query": WORDS | {"wieght": 2}}, "query.wieght"),
        ("search", {"query": WORDS, "filters": {"user": "me"}}, "filters.user"),
        ("search", {"query": WORDS, "filters": {"date_range": {"until": "2024-05-01"}}},
         "filters.date_range.until"),
        ("chat/completions", {"model": "", "messages": [ASKED], "sensorium": {"recal": True}},
         "sensorium.recal"),
        ("video/analyze", {"prompt": "What is it?", "video_url": "https://a/b", "max_frame": 3},
         "max_frame"),
    ],
)  # fmt: skip
async def test_a_misspelled_field_is_refused(
    web: httpx2.AsyncClient, path: str, body: dict[str, Any], field: str
) -> None:
    response = await web.post(f"/v1/{path}", json=body)
    assert refusal(response) == (400, "FIELD_UNKNOWN", field)


@pytest.mark.parametrize(
    ("path", "fields"),
    [("video/analyze", {"prompt": "What is it?", "fps": "2"}), ("audio/transcribe", {"fps": "2"})],
)
async def test_a_misspelled_field_of_a_form_is_refused(
    web: httpx2.AsyncClient, path: str, fields: dict[str, str]
) -> None:
    response = await web.post(f"/v1/{path}", data=fields, files={"file": b"bytes"})
    assert refusal(response) == (400, "FIELD_UNKNOWN", "fps")


async def test_what_openai_does_and_this_server_does_not_is_refused(openai: AsyncOpenAI) -> None:
    file = ("a.wav", b"bytes")
    item: Any = {"type": "message", "role": "user", "content": "Hello."}
    asked = {
        "include": openai.audio.transcriptions.create(
            model="whisper-1", file=file, include=["logprobs"]
        ),
        "expires_after": openai.files.create(
            file=file, purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
        ),
        "items": openai.conversations.create(items=[item]),
    }
    for param, request in asked.items():
        with pytest.raises(BadRequestError) as refused:
            await request
        assert (refused.value.code, refused.value.param) == ("PARAM_UNSUPPORTED", param)


@pytest.mark.parametrize("field", ["name", "metadata"])
async def test_a_name_is_not_taken_away(web: httpx2.AsyncClient, field: str) -> None:
    response = await web.patch("/v1/conversations/some", json={field: None})
    assert refusal(response) == (400, "FIELD_INVALID", field)


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]])
async def test_who_sends_tokens_is_told_how_to_send_text(
    web: httpx2.AsyncClient, tokens: list[Any]
) -> None:
    response = await web.post("/v1/embeddings", json={"input": tokens})
    assert refusal(response) == (400, "TOKENS_UNSUPPORTED", "input")
    assert "check_embedding_ctx_length=False" in response.json()["error"]["message"]


@pytest.mark.parametrize("since", ["0.5", "1700000000", "20240501", "2024-13-01", "yesterday", ""])
async def test_a_moment_is_a_date_or_a_time(web: httpx2.AsyncClient, since: str) -> None:
    response = await web.get("/v1/usage", params={"since": since})
    assert refusal(response) == (400, "FIELD_INVALID", "since")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/traces/" + "g" * 32, "trace_id"),
        ("/v1/conversations?page_token=a%20b", "page_token"),
        ("/v1/conversations/some/items?after=first", "after"),
    ],
)
async def test_what_is_no_id_is_refused_by_its_shape(
    web: httpx2.AsyncClient, path: str, field: str
) -> None:
    assert refusal(await web.get(path)) == (400, "FIELD_INVALID", field)


async def test_unknown_fields_of_openai_are_passed_over(web: httpx2.AsyncClient) -> None:
    body = {"model": "none", "messages": [ASKED], "store": True, "service_tier": "auto"}
    response = await web.post("/v1/chat/completions", json=body)
    assert refusal(response) == (404, "MODEL_UNKNOWN", "model")
