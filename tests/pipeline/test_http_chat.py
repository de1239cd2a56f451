"""Chat completions as bytes on the wire: forms that stream in, events, refusals, clients that go
away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sensorium_client.samples import Samples

from services.gateway.http.server import HttpServer
from services.gateway.stage import assemble
from tests import media
from tests.harness import serve_stage
from tests.pipeline.http_bodies import END, FORM, events_of, part
from tests.pipeline.platform import REMOTE_HOST, Platform, until

PATH = "/v1/chat/completions"
STORY = "Write a very long story about the sea, and do not stop."
FREE_WITHIN_S = 10.0
BUSY_WITHIN_S = 60.0


@pytest.fixture
def model(platform: Platform) -> str:
    return platform.settings.language_model


def request(model: str, *content: str | dict[str, Any], **options: Any) -> dict[str, Any]:
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    message = {"role": "user", "content": parts}
    return {"model": model, "messages": [message], "max_tokens": 8, **options}


async def test_events_are_as_the_specification_has_them(
    web: httpx2.AsyncClient, model: str
) -> None:
    body = request(model, "What is the capital of France?", stream=True)
    async with web.stream("POST", PATH, json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        chunks = events_of((await response.aread()).decode())
        trace_id = response.headers["x-request-id"]
    assert chunks[-1]["sensorium"]["trace_id"] == trace_id
    assert trace_id.strip("0")
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]] == [None] * (
        len(chunks) - 1
    )


async def test_an_answer_is_remembered_by_the_conversation_that_it_tells(
    web: httpx2.AsyncClient, model: str
) -> None:
    async def ask(question: str, conversation_id: str = "") -> dict[str, Any]:
        continued = {"sensorium": {"conversation_id": conversation_id}}
        answer = await web.post(PATH, json=request(model, question, **continued))
        told: dict[str, Any] = answer.json()["sensorium"]
        return told

    conversation_id = (await web.post("/v1/conversations")).json()["id"]
    told = await ask("My boat is called Marigold.", conversation_id)
    assert told["conversation_id"] == conversation_id
    await ask("What is my boat called?", conversation_id)
    kept = (await web.get(f"/v1/conversations/{conversation_id}")).json()
    assert [turn["question"] for turn in kept["turns"]] == [
        "My boat is called Marigold.",
        "What is my boat called?",
    ]
    assert "Marigold" in kept["turns"][1]["answer"]
    assert (await ask("What is my boat called?"))["conversation_id"] == ""


async def test_a_form_streams_into_ingest_while_it_is_sent(
    platform: Platform, web: httpx2.AsyncClient, model: str
) -> None:
    film = media.fragmented_mp4(6.0)
    decoding = asyncio.Event()

    async def form() -> AsyncIterator[bytes]:
        yield part("request", json.dumps(request(model, "What happens?")).encode())
        opened = part("film", film, "../film.mp4").removesuffix(b"\r\n")
        yield opened[: len(opened) // 2]
        # Half of it is being looked at before the rest is sent.
        await until(lambda: platform.ingest.active_decoders > 0, BUSY_WITHIN_S, "decoding")
        decoding.set()
        yield opened[len(opened) // 2 :] + b"\r\n" + END

    response = await web.post(PATH, content=form(), headers=FORM)
    assert response.status_code == 200, response.text
    assert decoding.is_set()
    (asset,) = response.json()["sensorium"]["assets"]
    assert (asset["name"], asset["media_type"]) == ("film.mp4", "video/mp4")
    assert asset["size_bytes"] == len(film)


async def test_bad_forms_are_refused(
    platform: Platform, web: httpx2.AsyncClient, model: str
) -> None:
    asked = part("request", json.dumps(request(model, "What is it?")).encode())
    picture = part("photo", media.jpeg(320, 240), "a.jpg")
    for form, code, param in (
        (picture + asked + END, "REQUEST_MISSING", "request"),
        (part("request", b"{}") + END, "FIELD_INVALID", "model"),
        (part("request", b"{") + END, "JSON_INVALID", "body"),
        (asked + part("stream", b"true") + END, "FIELD_UNKNOWN", "stream"),
        (asked + picture, "MULTIPART_CUT_OFF", None),
        (asked + part("photo", b"no picture", "a.jpg") * 2 + END, None, "photo"),
        (asked + picture * 33 + END, "TOO_MANY_MEDIA", "photo"),
    ):
        response = await web.post(PATH, content=form, headers=FORM)
        error = response.json()["error"]
        assert response.status_code in (400, 413)
        assert error["code"] == code or code is None
        assert error["param"] == param, error
    await platform.at_rest(FREE_WITHIN_S)


async def test_bodies_past_the_cap_are_refused(
    platform: Platform, web: httpx2.AsyncClient, model: str
) -> None:
    size = platform.settings.http_json_bytes_max
    response = await web.post(PATH, json=request(model, "a" * size))
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "BODY_TOO_LARGE"


async def test_fields_are_named_as_the_request_spells_them(
    web: httpx2.AsyncClient, model: str
) -> None:
    image: dict[str, Any] = {"type": "image_url", "image_url": {"url": "", "detail": "best"}}
    last = [{"role": "assistant", "content": "Hello."}]
    for body, param in (
        (request(model, image), "messages[0].content[0].image_url.detail"),
        (request(model, "") | {"messages": []}, "messages"),
        (request(model, "") | {"messages": [{"role": "user"}]}, "messages[0].content"),
        (request(model, "") | {"messages": [{"role": "tool"}]}, "messages[0]"),
        (request(model, "") | {"messages": last}, "messages[0].role"),
        (request(model, " "), "messages"),
        (request(model, "a" * 9000), "messages"),
        (request(model, "a", max_tokens="many"), "max_tokens"),
        (request(model, "a", max_tokens=100_000), "messages"),
        (request(model, "a", max_tokens=0), "max_tokens"),
    ):
        response = await web.post(PATH, json=body)
        assert response.status_code in (400, 413), response.text
        assert response.json()["error"]["param"] == param, response.text


async def test_a_picture_is_fetched_from_where_that_is_allowed(
    web: httpx2.AsyncClient, model: str, samples: Samples
) -> None:
    photo = samples.photo.read_bytes()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        if path == b"/photo.jpg":
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(photo)}\r\n\r\n"
            writer.write(head.encode() + photo)
        else:
            inside = f"http://127.0.0.1:{port}/photo.jpg"
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {inside}\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "0.0.0.0", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        answers = [
            await web.post(
                PATH,
                json=request(
                    model,
                    "What animal is it?",
                    {
                        "type": "image_url",
                        "image_url": {"url": f"http://{REMOTE_HOST}:{port}{path}"},
                    },
                ),
            )
            for path in ("/photo.jpg", "/moved")
        ]
    fetched, redirected = answers
    told = fetched.json()["sensorium"]
    assert told["assets"][0]["name"] == "photo.jpg"
    assert any("cat" in piece["text"] for piece in told["evidence"])
    # It leads to loopback.
    assert redirected.status_code == 400
    assert redirected.json()["error"]["code"] == "URL_REFUSED"


Reached = Callable[[Platform], bool]
LEAVING: dict[str, tuple[bool, Reached]] = {
    "tokens": (True, lambda platform: platform.generate.active_slots == 1),
    "whole": (False, lambda platform: platform.generate.active_slots == 1),
}


@pytest.mark.parametrize("case", LEAVING)
async def test_a_client_that_leaves_frees_the_model(
    platform: Platform, web: httpx2.AsyncClient, model: str, case: str
) -> None:
    streamed, reached = LEAVING[case]
    await platform.at_rest(BUSY_WITHIN_S)
    body = request(model, STORY, max_tokens=1500, stream=streamed)
    asking = asyncio.create_task(_read(web, body))
    await until(lambda: reached(platform), BUSY_WITHIN_S, "answering")
    await asyncio.sleep(0.2)
    assert await platform.busy()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await platform.at_rest(FREE_WITHIN_S)


async def _read(web: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    async with web.stream("POST", PATH, json=body) as response:
        await response.aread()


async def test_a_client_that_leaves_in_its_form_frees_the_decoder(
    platform: Platform, web: httpx2.AsyncClient, model: str
) -> None:
    film = media.fragmented_mp4(8.0)

    async def half_a_form() -> AsyncIterator[bytes]:
        yield part("request", json.dumps(request(model, "What happens?")).encode())
        yield part("film", film, "film.mp4")[: len(film) * 2 // 3]
        await asyncio.Event().wait()

    await platform.at_rest(BUSY_WITHIN_S)
    sending = asyncio.create_task(web.post(PATH, content=half_a_form(), headers=FORM))
    await until(lambda: platform.ingest.active_decoders == 1, BUSY_WITHIN_S, "decoding")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await platform.at_rest(FREE_WITHIN_S)


@pytest.fixture
async def impatient(platform: Platform, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A gateway before the same stages that does not wait long for a file elsewhere."""
    changes = {"remote_seconds_max": 0.5, "http_port": 0, "data_dir": tmp_path}
    settings = platform.settings.model_copy(update=changes)
    http = HttpServer(settings)
    async with (
        serve_stage(assemble(settings, platform.admission, http), settings),
        httpx2.AsyncClient(base_url=http.url, timeout=120) as web,
    ):
        yield web


async def test_a_server_that_drips_does_not_hold_a_turn(
    platform: Platform, impatient: httpx2.AsyncClient, model: str
) -> None:
    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.05)

    async with await asyncio.start_server(drip, REMOTE_HOST, 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        url = {"type": "video_url", "video_url": {"url": f"http://{REMOTE_HOST}:{port}/a"}}
        response = await impatient.post(PATH, json=request(model, "What is it?", url))
        assert response.json()["error"]["code"] == "URL_TIMED_OUT"
        await platform.at_rest(FREE_WITHIN_S)
