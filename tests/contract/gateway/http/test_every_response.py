"""What holds for every response: a trace, and what browsers are told not to do."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.gateway.http.door import CLOSE, HOST, Door, open_door
from tests.harness import make_settings

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = b"traceparent: 00-%s-b7ad6b7169203331-01\r\n" % TRACE_ID.encode()


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with open_door(make_settings(tmp_path_factory.mktemp("door"))) as door:
        yield door


async def test_a_request_is_a_span_below_the_callers(door: Door) -> None:
    answer = await door.get("/v1/models/some-model", HOST + PARENT)
    assert answer.headers["x-request-id"] == TRACE_ID
    (span,) = door.recent.spans(int(TRACE_ID, 16))
    assert span.name == "GET /v1/models/{model_id:path}"
    assert span.parent
    assert span.parent.span_id == 0xB7AD6B7169203331
    assert span.status.description == "MODEL_UNKNOWN"


@pytest.mark.parametrize("parent", [b"", b"traceparent: 00-zz-01\r\n", b"baggage: a=%0d%0a\r\n"])
async def test_each_request_has_a_trace(door: Door, parent: bytes) -> None:
    traces = {(await door.get("/v1/models", HOST + parent)).headers["x-request-id"] for _ in "ab"}
    assert len(traces) == 2
    for trace_id in traces:
        assert len(door.recent.spans(int(trace_id, 16))) == 1


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/models", 200), ("/v1/broken", 500), ("/nowhere", 404)]
)
async def test_a_browser_guesses_frames_and_leaks_nothing(
    door: Door, path: str, status: int
) -> None:
    answer = await door.get(path)
    assert answer.status == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "strict-transport-security" not in answer.headers


async def test_nothing_below_v1_is_a_page(door: Door) -> None:
    """What users upload is served there."""
    policy = (await door.get("/v1/models")).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy


async def test_the_platform_says_that_it_lives_and_is_ready(door: Door) -> None:
    assert (await door.get("/healthz")).body == b'{"status":"ok"}'
    assert (await door.get("/readyz")).status == 200


@pytest.mark.parametrize(
    "path", ["/", "/page/js/announcer.js", "/openapi.json", "/healthz", "/v1/models"]
)
async def test_a_response_to_head_is_that_to_get_without_its_body(door: Door, path: str) -> None:
    whole = await door.get(path)
    head = await door.send(b"HEAD %s HTTP/1.1\r\n" % path.encode() + HOST + CLOSE + b"\r\n")
    assert (head.status, head.body) == (200, b"")
    for name in ("content-length", "content-type"):
        assert head.headers[name] == whole.headers[name]


async def test_who_is_lost_is_told_where_the_paths_are_described(door: Door) -> None:
    answer = await door.get("/v1/chat/completion")
    assert answer.refusal == (404, "PATH_UNKNOWN")
    assert "/openapi.json" in answer.error["message"]
    assert answer.headers["link"] == '</openapi.json>; rel="service-desc"'


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/chat/completions", "POST"),
        ("/v1/files", "GET, HEAD, POST"),
        ("/v1/conversations/some", "DELETE, GET, HEAD, PATCH, POST"),
        ("/v1/endless", "GET"),
    ],
)
async def test_what_can_be_done_with_a_path_is_told(door: Door, path: str, allowed: str) -> None:
    answer = await door.send(b"PUT %s HTTP/1.1\r\n" % path.encode() + HOST + CLOSE + b"\r\n")
    assert answer.refusal == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"].upper() == allowed
