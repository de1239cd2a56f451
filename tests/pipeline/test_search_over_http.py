"""``/v1/search``, ``/v1/embeddings``, ``/v1/moderations`` and ``/v1/traces`` over real models."""

import asyncio
import base64
import io
from typing import Any

import httpx2
import numpy as np
import openai as openai_errors
import pytest
from openai import AsyncOpenAI
from PIL import Image
from sensorium_client import Client
from sensorium_client.samples import Samples

from tests.pipeline.test_files_over_http import picture


def data_url(media: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(media).decode()}"


async def found(web: httpx2.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    response = await web.post("/v1/search", json=body)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


async def test_words_find_the_moment_of_a_recording(
    web: httpx2.AsyncClient, client: Client, samples: Samples
) -> None:
    recording = await client.stored_asset_id(samples.recording)
    film = await client.stored_asset_id(samples.film)
    spoken = {"type": "text", "content": "a light house on an island"}
    results = await found(web, query=spoken, search_modalities=["audio"], top_k=3)
    result = next(each for each in results if each["id"] == recording)
    assert {each["type"] for each in results} == {"audio"}
    assert result["url"] == f"/v1/files/{recording}/content"
    assert result["thumbnail_url"] is None
    frame = result["matched_frames"][0]
    assert frame["origin"] == "speech" and frame["text"]
    assert 0 <= frame["span"]["start_s"] < frame["span"]["end_s"] <= 60
    assert result["similarity_score"] == max(
        each["similarity_score"] for each in result["matched_frames"]
    )
    assert result["metadata"]["resolution"] is None
    content = await web.get(result["url"])
    assert len(content.content) == result["metadata"]["size_bytes"]

    like_the_film = {"type": "video", "content": film}
    results = await found(web, query=like_the_film, search_modalities=["image", "video"])
    assert film not in [each["id"] for each in results]


async def test_a_picture_finds_its_like_and_a_mix_is_weighed(
    web: httpx2.AsyncClient, client: Client, samples: Samples
) -> None:
    photo = await client.stored_asset_id(samples.photo)
    smaller = io.BytesIO()
    with Image.open(samples.photo) as image:
        width, height = image.size
        image.convert("RGB").resize((300, 200)).save(smaller, "JPEG")
    like = {"type": "image", "content": data_url(smaller.getvalue(), "image/jpeg")}
    results = await found(web, query=like, search_modalities=["image"], top_k=1)
    assert [each["id"] for each in results] == [photo]
    assert results[0]["metadata"]["resolution"] == f"{width}x{height}"
    frame = results[0]["matched_frames"][0]
    assert (frame["span"], frame["region"]["left_px"]) == (None, 0)
    thumbnail = await web.get(frame["thumbnail_url"])
    assert thumbnail.headers["content-type"] == "image/jpeg"

    words = {"type": "text", "content": "a light house on an island", "weight": 0}
    mixed = await found(web, query=[like, words], search_modalities=["image"], top_k=1)
    assert [each["id"] for each in mixed] == [photo]


async def test_filters_narrow_a_search(web: httpx2.AsyncClient, openai: AsyncOpenAI) -> None:
    form = {"tags": '["over-http"]', "metadata": '{"project": "harbour"}'}
    files = {"file": ("teal.png", picture("teal"))}
    stored = (await web.post("/v1/files", data=form, files=files)).json()["id"]
    anything = {"type": "text", "content": "a colour"}

    async def ids(**filters: Any) -> list[str]:
        return [each["id"] for each in await found(web, query=anything, filters=filters)]

    tagged = {"tags": ["over-http"], "metadata": {"project": "harbour"}}
    assert await ids(**tagged, date_range="last_30_days") == [stored]
    assert await ids(**tagged, date_range={"from": "2020-01-01"}) == [stored]
    assert await ids(**tagged, date_range={"to": "2020-01-01"}) == []
    assert await ids(**tagged, user_id="somebody") == []
    assert await ids(tags=["over-http"], metadata={"project": "other"}) == []
    assert await ids(file_ids=[stored], user_id=None, date_range=None) == [stored]
    await openai.files.delete(stored)


WORDS = {"type": "text", "content": "x"}


@pytest.mark.parametrize(
    "body, status, code, param",
    [
        ({}, 400, "FIELD_INVALID", "query"),
        ({"query": {"type": "smell", "content": "x"}}, 400, "FIELD_INVALID", "query.type"),
        ({"query": WORDS, "top_k": 101}, 400, "FIELD_INVALID", "top_k"),
        ({"query": [WORDS] * 9}, 400, "FIELD_INVALID", "query"),
        ({"query": [{**WORDS, "weight": -1}]}, 400, "FIELD_INVALID", "query[0].weight"),
        ({"query": [{**WORDS, "weight": 0}]}, 400, "QUERY_MISSING", "query"),
        ({"query": {**WORDS, "content": " "}}, 400, "QUERY_MISSING", "query.content"),
        ({"query": {**WORDS, "content": "x" * 8001}}, 400, "TEXT_TOO_LONG", "query.content"),
        (
            {"query": {"type": "image", "content": "data:image/png,x"}},
            *(400, "DATA_URL_INVALID", "query.content"),
        ),
        (
            {"query": {"type": "image", "content": "http://127.0.0.1:1/x.png"}},
            *(400, "URL_REFUSED", "query.content"),
        ),
        (
            {"query": {"type": "image", "content": "nobody"}},
            *(404, "ASSET_NOT_FOUND", "query.content"),
        ),
        (
            # The bytes of a picture, without saying so.
            {"query": {"type": "image", "content": "iVBORw0KGgo" * 5000}},
            *(400, "CONTENT_INVALID", "query.content"),
        ),
        ({"query": WORDS, "top_k": "3"}, 400, "FIELD_INVALID", "top_k"),
        (
            {"query": WORDS, "filters": {"file_ids": ["x" * 65]}},
            *(400, "FIELD_INVALID", "filters.file_ids[0]"),
        ),
        (
            {"query": WORDS, "filters": {"date_range": "soon"}},
            *(400, "DATE_RANGE_INVALID", "filters.date_range"),
        ),
        (
            {"query": WORDS, "filters": {"date_range": ""}},
            *(400, "DATE_RANGE_INVALID", "filters.date_range"),
        ),
        (
            {"query": WORDS, "filters": {"date_range": {"from": "soon"}}},
            *(400, "FIELD_INVALID", "filters.date_range.from"),
        ),
        (
            {"query": WORDS, "filters": {"tags": ["x"] * 33}},
            *(400, "TOO_MANY_TAGS", "filters.tags"),
        ),
    ],
)
async def test_a_bad_search_is_told_by_the_name_of_its_field(
    web: httpx2.AsyncClient, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    response = await web.post("/v1/search", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)


async def test_alike_words_and_pictures_have_alike_vectors(
    openai: AsyncOpenAI, samples: Samples
) -> None:
    texts = ["A cat sleeps on the sofa.", "A kitten naps on a couch.", "Interest rates rose."]
    response = await openai.embeddings.create(input=texts, model="any")
    cat, kitten, rates = (np.array(each.embedding) for each in response.data)
    assert np.linalg.norm(cat) == pytest.approx(1, abs=1e-4)
    assert cat @ kitten > 0.5 > cat @ rates
    assert response.usage.total_tokens > 0

    one = await openai.embeddings.create(input=texts[0], model="any", encoding_format="float")
    np.testing.assert_allclose(one.data[0].embedding, cat, atol=1e-6)
    photo = data_url(await asyncio.to_thread(samples.photo.read_bytes), "image/jpeg")
    pictures: Any = [{"image": photo}, {"type": "image_url", "image_url": {"url": photo}}]
    seen = await openai.embeddings.create(input=pictures, model="any", dimensions=len(cat))
    np.testing.assert_allclose(seen.data[0].embedding, seen.data[1].embedding, atol=1e-6)


@pytest.mark.parametrize(
    "body, code, param",
    [
        ({"input": [1, 2]}, "TOKENS_UNSUPPORTED", "input"),
        ({"input": [[1, 2], [3]]}, "TOKENS_UNSUPPORTED", "input"),
        ({"input": []}, "FIELD_INVALID", "input"),
        ({"input": ["a", ""]}, "INPUT_EMPTY", "input[1]"),
        ({"input": "x" * 4001}, "TEXT_TOO_LONG", "input[0]"),
        ({"input": ["a", {"image": "data:,x"}]}, "DATA_URL_INVALID", "input[1]"),
        ({"input": [{"image": data_url(b"\x00" * 99)}]}, "UNSUPPORTED_MEDIA", "input[0]"),
        ({"input": [None]}, "FIELD_INVALID", "input[0]"),
        ({"input": {"words": "x"}}, "FIELD_INVALID", "input"),
        ({"input": "a", "dimensions": 7}, "DIMENSIONS_UNSUPPORTED", "dimensions"),
    ],
)
async def test_what_has_no_vector_is_refused(
    web: httpx2.AsyncClient, body: dict[str, Any], code: str, param: str
) -> None:
    response = await web.post("/v1/embeddings", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)


async def test_rude_words_are_flagged_and_kind_ones_are_not(openai: AsyncOpenAI) -> None:
    rude = "You are a stupid idiot and everybody hates you."
    told = await openai.moderations.create(input=[rude, "Thank you for the flowers."])
    first, second = told.results
    assert (first.flagged, second.flagged) == (True, False)
    scores = first.category_scores.model_extra or {}
    assert scores["insult"] > 0.5
    # As OpenAI calls it; and what nothing here judges is there, and said to be unjudged.
    assert (first.categories.harassment, second.categories.harassment) == (True, False)
    assert first.category_scores.harassment == scores["insult"]
    assert (first.categories.self_harm_intent, first.category_scores.self_harm_intent) == (False, 0)
    assert first.category_applied_input_types.self_harm == []
    scored_by = (first.model_extra or {})["sensorium"]["scored_by"]
    assert scored_by["harassment"] == "insult"
    assert "self-harm" not in scored_by
    parts: Any = [
        {"type": "text", "text": rude},
        {"type": "image_url", "image_url": {"url": data_url(picture("white"))}},
    ]
    [together] = (await openai.moderations.create(input=parts)).results
    kinds = together.category_applied_input_types
    assert together.flagged
    assert (kinds.harassment, kinds.sexual) == (["text"], ["image"])
    with pytest.raises(openai_errors.BadRequestError) as caught:
        await openai.moderations.create(input=["a", " "])
    assert (caught.value.code, caught.value.param) == ("INPUT_EMPTY", "input[1]")


async def test_the_trace_of_a_request_can_be_read(web: httpx2.AsyncClient) -> None:
    asked = await web.post("/v1/embeddings", json={"input": "rain"})
    trace_id = asked.headers["x-request-id"]
    trace = await web.get(f"/v1/traces/{trace_id}")
    spans = trace.json()["spans"]
    assert any(span["name"].endswith("EncodeService/StreamingEncode") for span in spans)
    assert all(span["startTime"] <= span["endTime"] for span in spans)
    assert (await web.get(f"/v1/traces/{'0' * 32}")).status_code == 404
    assert (await web.get("/v1/traces/x")).status_code == 400
