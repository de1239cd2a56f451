"""What somebody with a socket may try against the HTTP door."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.contract.gateway.http.door import (
    CLOSE,
    HOST,
    JSON,
    Door,
    open_door,
    parse,
    read_all,
)
from tests.harness import make_settings
from tests.pipeline.platform import until

JSON_BYTES_MAX = 4096
STALL_S = 0.3
ORIGIN = "https://app.example"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
POST = b"POST /v1/body HTTP/1.1\r\n" + HOST


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    settings = make_settings(
        tmp_path_factory.mktemp("door"),
        http_json_bytes_max=JSON_BYTES_MAX,
        http_stall_s=STALL_S,
        http_keep_alive_s=STALL_S,
        http_hosts="door.example",
        http_origins=ORIGIN,
    )
    async with open_door(settings) as door:
        yield door


# --- other sites -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.0.2.1:8080", "[2001:db8::1]"]
)
async def test_a_foreign_name_is_refused(door: Door, host: str) -> None:
    """As by a site whose name is made to point here."""
    answer = await door.get("/v1/models", b"Host: %s\r\n" % host.encode())
    assert answer.refusal == (403, "HOST_REFUSED")
    assert "SENSORIUM_HTTP_HOSTS" in answer.error["message"]


@pytest.mark.parametrize(
    "host", ["localhost:8080", "LOCALHOST", "127.0.0.1:1", "[::1]:80", "door.example", "localhost."]
)
async def test_own_names_are_answered(door: Door, host: str) -> None:
    assert (await door.get("/v1/models", b"Host: %s\r\n" % host.encode())).status == 200


@pytest.mark.parametrize(
    "headers",
    [b"", HOST + HOST, HOST + b"Host: evil.example\r\n", b"Host: a b\r\n", b"Host: a@b\r\n"],
)
async def test_there_is_one_host(door: Door, headers: bytes) -> None:
    assert (await door.get("/v1/models", headers)).refusal == (400, "HEADER_INVALID")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "file://", ORIGIN + ".evil"]
)
async def test_a_page_of_another_origin_changes_nothing(door: Door, origin: str) -> None:
    answer = await door.post("/v1/json", headers=HOST + b"Origin: %s\r\n" % origin.encode())
    assert answer.refusal == (403, "ORIGIN_REFUSED")
    assert "SENSORIUM_HTTP_ORIGINS" in answer.error["message"]
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://localhost", ORIGIN])
async def test_own_and_named_origins_may(door: Door, origin: str) -> None:
    answer = await door.post("/v1/json", headers=HOST + b"Origin: %s\r\n" % origin.encode())
    assert answer.status == 200
    assert answer.headers.get("access-control-allow-origin") == (
        ORIGIN if origin == ORIGIN else None
    )


async def test_a_socket_is_not_opened_for_a_foreign_page(door: Door) -> None:
    url = f"ws://localhost:{door.server.port}/v1/socket"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, origin="https://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403
    assert b"ORIGIN_REFUSED" in (refused.value.response.body or b"")
    async with connect(url, origin=f"http://localhost:{door.server.port}") as socket:  # type: ignore[arg-type]
        await socket.send("hello")
        assert await socket.recv() == "hello"


async def test_preflights_allow_named_origins_only(door: Door) -> None:
    def preflight(origin: str) -> bytes:
        return (
            b"OPTIONS /v1/json HTTP/1.1\r\n"
            + HOST
            + CLOSE
            + b"Origin: %s\r\nAccess-Control-Request-Method: POST\r\n\r\n" % origin.encode()
        )

    allowed = await door.send(preflight(ORIGIN))
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    refused = await door.send(preflight("https://evil.example"))
    assert "access-control-allow-origin" not in refused.headers


# --- smuggling ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\n" + CHUNKED,
        CHUNKED + b"Content-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding:\r\n chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"X: folded\r\n line\r\nContent-Length: 5\r\n",
        b"X: a\rb\r\nContent-Length: 5\r\n",
        b"X: a\0b\r\nContent-Length: 5\r\n",
        b"X: a\nContent-Length: 5\r\n",
        b"X\0: a\r\nContent-Length: 5\r\n",
        b" X: a\r\nContent-Length: 5\r\n",
    ],
)
async def test_a_body_has_one_length_for_everyone(door: Door, head: bytes) -> None:
    door.seen.clear()
    smuggled = b"0\r\n\r\nGET /v1/broken HTTP/1.1\r\n" + HOST + b"\r\n"
    answer = await door.send(POST + head + b"\r\n" + smuggled)
    assert answer.refusal == (400, "REQUEST_MALFORMED")
    assert door.seen == []


@pytest.mark.parametrize("coding", [b"xchunked", b"identity", b"gzip"])
async def test_an_unknown_coding_is_no_body(door: Door, coding: bytes) -> None:
    door.seen.clear()
    answer = await door.send(POST + b"Transfer-Encoding: %s\r\n\r\n0\r\n\r\n" % coding)
    assert answer.status in (0, 400)
    assert door.seen == []


async def test_what_follows_a_chunked_body_is_no_header(door: Door) -> None:
    door.seen.clear()
    trailers = b"Authorization: Bearer smuggled\r\nHost: evil.example\r\n"
    answer = await door.send(POST + CLOSE + CHUNKED + b"\r\n1\r\nx\r\n0\r\n" + trailers + b"\r\n")
    assert answer.status == 200
    assert "authorization" not in door.seen[0]
    assert door.seen[0]["host"] == "localhost"


@pytest.mark.parametrize("value", ["é".encode("latin-1"), "é".encode(), b"\xff\xfe"])
async def test_headers_are_ascii(door: Door, value: bytes) -> None:
    answer = await door.get("/v1/models", HOST + b"Authorization: Bearer %s\r\n" % value)
    assert answer.refusal == (400, "HEADER_INVALID")
    assert answer.error["param"] == "authorization"


async def test_cookies_of_others_on_this_machine_do_not_matter(door: Door) -> None:
    assert (
        await door.get("/v1/models", HOST + b"Cookie: theme=d\xc3\xa9j\xc3\xa0\r\n")
    ).status == 200


# --- size ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "headers", "refusal"),
    [
        (b"GET /" + b"x" * 9000, HOST, (414, "URL_TOO_LONG")),
        (b"GET /v1/models?" + b"x" * 9000, HOST, (414, "URL_TOO_LONG")),
        (b"GET /", HOST + b"X: " + b"x" * 40_000 + b"\r\n", (431, "HEADERS_TOO_LARGE")),
        (b"GET /", HOST + b"X" * 40_000 + b": x\r\n", (431, "HEADERS_TOO_LARGE")),
        (b"GET /", HOST + b"X: x\r\n" * 101, (431, "HEADERS_TOO_LARGE")),
    ],
)
async def test_heads_are_small(
    door: Door, request_line: bytes, headers: bytes, refusal: tuple[int, str]
) -> None:
    answer = await door.send(request_line + b" HTTP/1.1\r\n" + headers + b"\r\n")
    assert answer.refusal == refusal


async def test_a_header_without_end_is_not_kept(door: Door) -> None:
    answer = await door.send(b"GET / HTTP/1.1\r\nX: ", *[b"x" * 16_384] * 40)
    assert answer.refusal == (431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize("framing", [b"1;extension=", b"0\r\nTrailer: "])
async def test_the_framing_of_chunks_is_not_endless(door: Door, framing: bytes) -> None:
    """It would come for ever without a byte of a body."""
    door.seen.clear()
    answer = await door.send(POST + CHUNKED + b"\r\n" + framing, *[b"x" * 16_384] * 40)
    assert answer.status in (0, 400)
    assert door.seen == []


async def test_chunks_of_one_byte_are_well_formed(door: Door) -> None:
    answer = await door.send(POST + CLOSE + CHUNKED + b"\r\n" + b"1\r\nx\r\n" * 4000 + b"0\r\n\r\n")
    assert (answer.status, answer.body) == (200, b'{"size":4000}')


async def test_a_stated_length_that_is_too_large_is_refused_unread(door: Door) -> None:
    head = b"POST /v1/json HTTP/1.1\r\n" + HOST + JSON + b"Content-Length: 1000000000\r\n\r\n"
    assert (await door.send(head)).refusal == (413, "BODY_TOO_LARGE")


async def test_a_form_is_not_endless_either(door: Door) -> None:
    length = b"Content-Length: %d\r\n" % (1 << 40)
    form = b"Content-Type: multipart/form-data; boundary=x\r\n"
    head = b"POST /v1/files HTTP/1.1\r\n" + HOST + form + length + b"\r\n"
    assert (await door.send(head)).refusal == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("path", [b"/v1/json", b"/v1/body"])
async def test_chunks_that_grow_too_large_are_refused(door: Door, path: bytes) -> None:
    head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + JSON + CHUNKED + b"\r\n"
    answer = await door.send(head, *[b"400\r\n" + b" " * 1024 + b"\r\n"] * 6)
    assert answer.refusal == (413, "BODY_TOO_LARGE")
    assert str(JSON_BYTES_MAX) in answer.error["message"]


@pytest.mark.parametrize("nested", [b"[" * 4000, b'{"a":' * 800, b'{"a":' + b"[" * 4000])
async def test_json_that_is_too_deep_is_no_failure_of_ours(door: Door, nested: bytes) -> None:
    assert (await door.post("/v1/json", nested)).status == 400


async def test_requests_do_not_pile_up_on_a_connection(door: Door) -> None:
    """Thousands fit into what is read at once, each a hundred times as large in memory."""
    request = b"GET /v1/models HTTP/1.1\r\n" + HOST + b"\r\n"
    few = await door.send(request * 3)
    assert few.body.count(b"200 OK") == 2
    assert (await door.send(request * 2000)).status in (0, 400)


async def test_a_request_that_comes_before_the_end_of_an_answer_is_answered(door: Door) -> None:
    """A client that was told the length has all of an answer before the server is done with it."""
    first = b"GET /v1/lengthy?after_s=0.2 HTTP/1.1\r\n" + HOST + b"\r\n"
    late = b"POST /v1/late?after_s=%.1f HTTP/1.1\r\n" % (2 * STALL_S) + HOST + CLOSE
    answers = await door.send(first, late + b"Content-Length: 3\r\n\r\n", b"abc", pause_s=0.05)
    assert answers.body.endswith(b'{"size":3}')


# --- time -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "refusal"),
    [
        ([b"POST /v1/body HT"], (408, "HEADERS_TOO_SLOW")),
        ([b"POST /v1/body HTTP/1.1\r\n", *[b"X: x\r\n"] * 12], (408, "HEADERS_TOO_SLOW")),
        ([POST + b"Content-Length: 9\r\n\r\nabc"], (408, "BODY_TOO_SLOW")),
        ([POST + b"Content-Length: 99\r\n\r\n", *[b"x"] * 12], (408, "BODY_TOO_SLOW")),
        ([POST + CHUNKED + b"\r\n", *[b"1;a=b\r\nx\r\n"] * 12], (408, "BODY_TOO_SLOW")),
    ],
    ids=["half a head", "headers drip", "half a body", "a body drips", "chunks drip"],
)
async def test_slow_clients_are_refused(
    door: Door, pieces: list[bytes], refusal: tuple[int, str]
) -> None:
    door.seen.clear()
    assert (await door.send(*pieces, pause_s=STALL_S / 4)).refusal == refusal
    assert door.seen == []


@pytest.mark.parametrize("pieces", [[], [b"\r\n"] * 12])
async def test_a_connection_without_a_request_is_closed(door: Door, pieces: list[bytes]) -> None:
    assert (await door.send(*pieces, pause_s=STALL_S / 4)).status == 0


async def test_a_client_that_does_not_read_holds_nothing(door: Door) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", door.server.port, limit=1024)
    writer.write(b"GET /v1/endless HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: door.streaming == 1, 30, "the response begins")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await until(lambda: door.streaming == 0, 30, "the response is given up")
    writer.close()


async def test_a_client_that_goes_away_ends_its_response(door: Door) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
    writer.write(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: door.streaming == 1, 30, "the response begins")
    writer.close()
    await until(lambda: door.streaming == 0, 30, "the response is given up")


async def test_too_many_connections_are_refused_in_words(tmp_path: Path) -> None:
    async with open_door(make_settings(tmp_path, http_connections_max=2)) as door:
        held = [await asyncio.open_connection("127.0.0.1", door.server.port) for _ in range(2)]
        answer = await door.get("/v1/models")
        assert answer.refusal == (503, "TOO_MANY_CONNECTIONS")
        assert int(answer.headers["retry-after"]) >= 1
        for _, writer in held:
            writer.close()
        for reader, _ in held:
            await read_all(reader)
        assert (await door.get("/v1/models")).status == 200


async def test_nothing_of_ours_is_told_of_a_failure(door: Door) -> None:
    answer = await door.get("/v1/broken")
    assert answer.refusal == (500, "INTERNAL")
    assert b"secret" not in answer.body
    assert answer.headers["x-request-id"] in answer.error["message"]


# --- the end ----------------------------------------------------------------------------------


async def test_a_stream_that_outlives_the_grace_is_told_why_it_ends(tmp_path: Path) -> None:
    async with open_door(make_settings(tmp_path, drain_grace_s=0.2)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
        writer.write(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
        await until(lambda: door.streaming == 1, 30, "the response begins")
        draining = asyncio.create_task(door.server.drain())
        await asyncio.sleep(0)
        received = parse(await read_all(reader))
        await draining
        writer.close()
    events = received.body.split(b"data: ")
    assert events[1].startswith(b"1\n\n")
    assert b'"code":"SHUTTING_DOWN"' in events[-1]
    assert received.body.endswith(b"0\r\n\r\n")


async def test_a_server_that_shuts_down_takes_no_more(tmp_path: Path) -> None:
    async with open_door(make_settings(tmp_path, drain_grace_s=0.5)) as door:
        busy = asyncio.create_task(door.send(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n"))
        await until(lambda: door.streaming == 1, 30, "the response begins")
        reader, writer = await asyncio.open_connection("127.0.0.1", door.server.port)
        writer.write(b"GET /v1/models HTTP/1.1\r\n" + HOST)
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(door.server.drain())
        await asyncio.sleep(0)
        writer.write(CLOSE + b"\r\n")
        answer = parse(await read_all(reader))
        assert answer.refusal == (503, "SHUTTING_DOWN")
        assert int(answer.headers["retry-after"]) >= 1
        writer.close()
        await draining
        await busy
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", door.server.port)
