"""``/v1/video/analyze``: a question over a film, its frames chosen as the request says."""

import asyncio
import base64
from typing import Any

import httpx2
import pytest
from sensorium_client.samples import Samples

from tests.pipeline.http_bodies import END, FORM, events_of, part
from tests.pipeline.platform import Platform
from tests.pipeline.test_files_over_http import parts_of_uploads, picture

ASKED = {"prompt": "What is seen?", "max_tokens": "16"}


@pytest.mark.parametrize("frame_sampling", ["uniform", "keyframes", "scene"])
async def test_a_film_in_a_form_is_asked_about(
    web: httpx2.AsyncClient, samples: Samples, frame_sampling: str
) -> None:
    content = await asyncio.to_thread(samples.film.read_bytes)
    form = {**ASKED, "frame_sampling": frame_sampling, "max_frames": "2"}
    files = {"file": ("film.mp4", content)}
    response = await web.post("/v1/video/analyze", data=form, files=files)
    assert response.status_code == 200, response.text
    told = response.json()
    assert told["object"] == "chat.completion"
    assert told["choices"][0]["message"]["content"].strip()
    evidence = told["sensorium"]["evidence"]
    starts = [each["span"]["start_s"] for each in evidence if each["modality"] == "video"]
    assert 1 <= len(set(starts)) <= 2
    assert told["sensorium"]["citations"]


async def test_a_film_by_url_is_asked_about_in_a_stream(
    web: httpx2.AsyncClient, samples: Samples
) -> None:
    content = await asyncio.to_thread(samples.film.read_bytes)
    url = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    body = {"video_url": url, "prompt": "What is seen?", "max_tokens": 16, "stream": True}
    response = await web.post("/v1/video/analyze", json=body)
    events = events_of(response.text)
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    words = [c["delta"].get("content", "") for event in events for c in event["choices"]]
    assert "".join(words).strip()
    assert any("sensorium" in event for event in events)
    assert events[-1]["usage"]["completion_tokens"] > 0


def form_of(*parts: tuple[str, str] | bytes) -> bytes:
    """A form of fields and of films, in this order."""
    return b"".join(map(_written, parts)) + END


def _written(each: tuple[str, str] | bytes) -> bytes:
    if isinstance(each, bytes):
        return part("file", each, "film.mp4")
    name, value = each
    return part(name, value.encode())


async def test_the_prompt_may_follow_the_film(web: httpx2.AsyncClient, samples: Samples) -> None:
    content = await asyncio.to_thread(samples.film.read_bytes)
    body = form_of(("max_tokens", "16"), content, ("prompt", "What is seen?"))
    response = await web.post("/v1/video/analyze", content=body, headers=FORM)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "parts, code, param",
    [
        ([("prompt", "What?"), b"FILM", ("max_frames", "2")], "FIELD_TOO_LATE", "max_frames"),
        ([b"FILM"], "QUESTION_MISSING", "prompt"),
        ([("frame_sampling", "often"), b"FILM"], "FIELD_INVALID", "frame_sampling"),
        ([("max_frames", "0"), b"FILM"], "FIELD_INVALID", "max_frames"),
        ([("prompt", "What?")], "FILE_MISSING", "file"),
    ],
)
async def test_a_bad_form_is_told_and_nothing_is_stored(
    platform: Platform,
    web: httpx2.AsyncClient,
    samples: Samples,
    parts: list[Any],
    code: str,
    param: str | None,
) -> None:
    film = await asyncio.to_thread(samples.film.read_bytes)
    before = (await web.get("/v1/files")).json()
    body = form_of(*(film if each == b"FILM" else each for each in parts))
    response = await web.post("/v1/video/analyze", content=body, headers=FORM)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    await platform.at_rest(20)
    assert (await web.get("/v1/files")).json() == before
    assert parts_of_uploads(platform) == []


@pytest.mark.parametrize(
    "content, reason", [(b"", "EMPTY_FILE"), (b"\0\1" * 5000, "UNSUPPORTED_MEDIA")]
)
async def test_what_is_no_media_at_all_is_refused_by_the_name_of_its_field(
    web: httpx2.AsyncClient, content: bytes, reason: str
) -> None:
    files = {"file": ("film.mp4", content)}
    response = await web.post("/v1/video/analyze", data=ASKED, files=files)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, reason, "file")


async def test_what_is_no_video_is_refused_and_not_kept(web: httpx2.AsyncClient) -> None:
    before = (await web.get("/v1/files")).json()
    files = {"file": ("red.png", picture("red"))}
    response = await web.post("/v1/video/analyze", data=ASKED, files=files)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, "NO_VIDEO", "file")
    url = f"data:video/mp4;base64,{base64.b64encode(picture('red')).decode()}"
    body = {"prompt": "What is seen?", "video_url": url}
    error = (await web.post("/v1/video/analyze", json=body)).json()["error"]
    assert (error["code"], error["param"]) == ("NO_VIDEO", "video_url")
    assert (await web.get("/v1/files")).json() == before


@pytest.mark.parametrize(
    "body, status, code, param",
    [
        ({"video_url": "data:,x"}, 400, "FIELD_INVALID", "prompt"),
        ({"prompt": "What?"}, 400, "FIELD_INVALID", "video_url"),
        ({"prompt": "What?", "video_url": "data:,x"}, 400, "DATA_URL_INVALID", "video_url"),
        ({"prompt": "What?", "video_url": "http://[::1]/x"}, 400, "URL_REFUSED", "video_url"),
        ({"prompt": " ", "video_url": "http://[::1]/x"}, 400, "QUESTION_MISSING", "prompt"),
        (
            {"prompt": "What?", "video_url": "http://a.test/", "model": "other"},
            *(404, "MODEL_UNKNOWN", "model"),
        ),
    ],
)
async def test_a_bad_body_is_told_by_the_name_of_its_field(
    web: httpx2.AsyncClient, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    response = await web.post("/v1/video/analyze", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
