"""``/v1/files`` with OpenAI's own client and as a browser uses it."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import openai as openai_errors
import pytest
from openai import AsyncOpenAI
from PIL import Image
from sensorium_client.samples import Samples

from tests.pipeline.platform import Platform


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


def parts_of_uploads(platform: Platform) -> list[Path]:
    """What forms have left unfinished."""
    return list(platform.settings.data_dir.glob("uploads/*/file-*"))


async def test_a_file_is_stored_read_listed_and_deleted(
    openai: AsyncOpenAI, samples: Samples
) -> None:
    content = await asyncio.to_thread(samples.photo.read_bytes)
    stored = await openai.files.create(file=samples.photo, purpose="vision")
    assert (stored.object, stored.bytes, stored.purpose) == ("file", len(content), "vision")
    assert (stored.filename, stored.status) == (samples.photo.name, "processed")
    details = stored.model_extra["sensorium"] if stored.model_extra else {}
    assert details["sha256"] == hashlib.sha256(content).hexdigest()
    assert details["modality"] == "image"
    with Image.open(samples.photo) as image:
        assert (details["width"], details["height"]) == image.size

    assert (await openai.files.retrieve(stored.id)).bytes == len(content)
    assert (await openai.files.content(stored.id)).content == content
    second = await openai.files.create(file=("../b.png", picture("red")), purpose="user_data")
    assert second.filename == "b.png"
    newest = [file.id async for file in openai.files.list(limit=1)][:2]
    assert newest == [second.id, stored.id]
    pictures = [file.id async for file in openai.files.list(purpose="vision")]
    assert stored.id in pictures and second.id not in pictures

    for each in (stored, second):
        assert (await openai.files.delete(each.id)).deleted
        with pytest.raises(openai_errors.NotFoundError) as caught:
            await openai.files.retrieve(each.id)
        assert caught.value.code == "ASSET_NOT_FOUND"


async def test_fields_may_come_after_the_file(web: httpx2.AsyncClient) -> None:
    # As OpenAI's client for JavaScript sends them.
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="blue.png"\r\n\r\n'
        + picture("blue")
        + b'\r\n--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision'
        + b'\r\n--b\r\nContent-Disposition: form-data; name="tags"\r\n\r\n["sea"]\r\n--b--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await web.post("/v1/files", content=body, headers=headers)
    assert response.status_code == 200, response.text
    stored = response.json()
    assert (stored["purpose"], stored["sensorium"]["tags"]) == ("vision", ["sea"])
    await web.delete(f"/v1/files/{stored['id']}")


async def test_a_form_that_is_not_whole_leaves_nothing(
    platform: Platform, web: httpx2.AsyncClient
) -> None:
    before = (await web.get("/v1/files")).json()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    part = head + picture("green") + b"\r\n"
    bad_purpose = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + b"x" * 65
    for rest, code, param in (
        (b"--b\r\nno header\r\n", "MULTIPART_MALFORMED", None),
        (b"", "MULTIPART_CUT_OFF", None),
        (part[:-2] + b"\r\n--b--", "TOO_MANY_FILES", "file"),
        (bad_purpose + b"\r\n--b--", "FIELD_INVALID", "purpose"),
    ):
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        response = await web.post("/v1/files", content=part + rest, headers=headers)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (400, code, param)
    await platform.at_rest(10)
    assert (await web.get("/v1/files")).json() == before
    assert parts_of_uploads(platform) == []


async def test_a_client_that_leaves_while_it_sends_leaves_nothing(
    platform: Platform, web: httpx2.AsyncClient
) -> None:
    sending = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        yield b"RIFF" + bytes(200_000)
        sending.set()
        await asyncio.sleep(60)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    posting = asyncio.create_task(web.post("/v1/files", content=body(), headers=headers))
    await sending.wait()
    posting.cancel()
    await platform.at_rest(10)
    assert parts_of_uploads(platform) == []


async def test_a_bad_file_is_told_as_what_it_is(openai: AsyncOpenAI) -> None:
    with pytest.raises(openai_errors.BadRequestError) as caught:
        await openai.files.create(file=("a.png", picture("red")[:50]), purpose="vision")
    assert (caught.value.code, caught.value.param) == ("MEDIA_TRUNCATED", "file")


async def test_a_browser_plays_a_film_in_ranges(
    web: httpx2.AsyncClient, openai: AsyncOpenAI, samples: Samples
) -> None:
    content = await asyncio.to_thread(samples.film.read_bytes)
    film = (await openai.files.create(file=samples.film, purpose="vision")).id
    url = f"/v1/files/{film}/content"
    whole = await web.get(url)
    assert whole.content == content
    assert whole.headers["content-type"].startswith("video/")
    assert whole.headers["accept-ranges"] == "bytes"

    part = await web.get(url, headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, content[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(content)}"
    end = await web.get(url, headers={"Range": "bytes=-7", "If-Range": whole.headers["etag"]})
    assert (end.status_code, end.content) == (206, content[-7:])
    other = await web.get(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, content)
    past = await web.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert (past.status_code, past.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert past.json()["error"]["code"] == "RANGE_PAST_END"
    same = await web.get(url, headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    for told in (url, f"/v1/files/{film}/thumbnail", f"/v1/files/{film}"):
        before = await web.get(told)
        head = await web.head(told, headers={"Range": "bytes=0-9"})
        after = await web.get(told)
        assert (head.status_code, head.content) == (200, b"")
        # What is told of a file grows while its renditions are made.
        lengths = {str(len(got.content)) for got in (before, after)}
        assert head.headers["content-length"] in lengths

    first, later = [
        (await web.get(f"/v1/files/{film}/thumbnail", params={"offset_s": offset_s})).content
        for offset_s in (0, 3)
    ]
    assert first != later
    with Image.open(io.BytesIO(first)) as thumbnail:
        assert thumbnail.format == "JPEG" and max(thumbnail.size) <= 256
    made = (await web.get(f"/v1/files/{film}")).json()["sensorium"]["renditions"]
    assert "thumbnail" in {each["name"] for each in made}
    for each in made:
        assert len((await web.get(each["url"])).content) == each["bytes"]


async def test_pictures_that_look_alike_are_found(
    web: httpx2.AsyncClient, openai: AsyncOpenAI, samples: Samples
) -> None:
    photo = await openai.files.create(file=samples.photo, purpose="vision")
    smaller = io.BytesIO()
    with Image.open(samples.photo) as image:
        image.convert("RGB").resize((320, 240)).save(smaller, "JPEG")
    copy = await openai.files.create(file=("small.jpg", smaller.getvalue()), purpose="vision")
    found = (await web.get(f"/v1/files/{copy.id}/duplicates")).json()["data"]
    # Other tests search for the same animal.
    await openai.files.delete(copy.id)
    shas = [each["file"]["sensorium"]["sha256"] for each in found]
    details = photo.model_extra["sensorium"] if photo.model_extra else {}
    assert details["sha256"] in shas


@pytest.mark.parametrize(
    "path",
    ["nobody", "nobody/content", "nobody/thumbnail", "nobody/duplicates", "%2e%2e", "a%20b%00"],
)
async def test_what_there_is_not_is_not_found(web: httpx2.AsyncClient, path: str) -> None:
    response = await web.get(f"/v1/files/{path}")
    assert response.status_code == 404, response.text


@pytest.mark.parametrize(
    "query, param", [("limit=0", "limit"), ("limit=x", "limit"), ("order=asc", "order")]
)
async def test_a_bad_value_is_named(web: httpx2.AsyncClient, query: str, param: str) -> None:
    response = await web.get(f"/v1/files?{query}")
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "FIELD_INVALID")
    assert param in error["param"]
