"""What OpenAPI says that the server serves."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway.http.door import Door, open_door
from tests.harness import make_settings

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with open_door(make_settings(tmp_path_factory.mktemp("door"))) as door:
        yield door


@pytest.fixture(scope="module")
async def described(door: Door) -> dict[str, Any]:
    described: dict[str, Any] = json.loads((await door.get("/openapi.json")).body)
    return described


def operations(described: dict[str, Any]) -> Iterator[Operation]:
    """Path, method, operation; without the routes that the tests add."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if "tags" in operation:
                yield path, method, operation


async def test_operations_have_the_short_names_of_openai(described: dict[str, Any]) -> None:
    named = {
        (method, path): operation["operationId"]
        for path, method, operation in operations(described)
    }
    assert named["post", "/v1/chat/completions"] == "createChatCompletion"
    assert named["post", "/v1/embeddings"] == "createEmbedding"
    assert named["get", "/v1/models/{model_id}"] == "retrieveModel"
    assert named["get", "/v1/files/{file_id}/content"] == "downloadFile"
    assert named["post", "/v1/conversations/{conversation_id}"] == "updateConversation"
    assert len(set(named.values())) == len(named)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", name) for name in named.values())


async def test_each_operation_tells_its_errors(described: dict[str, Any]) -> None:
    shared = described["components"]["responses"]
    for path, method, operation in operations(described):
        failures = {
            int(status): shared[told["$ref"].rpartition("/")[2]]
            for status, told in operation["responses"].items()
            if int(status) >= 400
        }
        assert {400, 403, 500, 503} <= set(failures), (method, path)
        assert (404 in failures) or "{" not in path, (method, path)
        assert (413 in failures) == ("requestBody" in operation), (method, path)
        assert (401 in failures) == path.startswith("/v1/"), (method, path)
        for status, failure in failures.items():
            schema = failure["content"]["application/json"]["schema"]
            assert schema["$ref"] == "#/components/schemas/ErrorBody"
            assert ("Retry-After" in failure["headers"]) == (status in (409, 429, 503))


async def test_what_is_answered_is_what_is_told(door: Door, described: dict[str, Any]) -> None:
    told = described["paths"]["/v1/models/{model_id}"]["get"]["responses"]
    for answer in (await door.get("/v1/models/none"), await door.get("/v1/models/a?key=secret")):
        response = described["components"]["responses"][
            told[str(answer.status)]["$ref"].rpartition("/")[2]
        ]
        for name in response["headers"]:
            assert name.lower() in answer.headers


async def test_whether_a_key_is_asked_for_is_told(
    described: dict[str, Any], tmp_path: Path
) -> None:
    assert described["security"] == [{"bearer": []}, {}]
    async with open_door(make_settings(tmp_path, auth="required")) as guarded:
        described = json.loads((await guarded.get("/openapi.json")).body)
    assert described["security"] == [{"bearer": []}]
    assert described["paths"]["/healthz"]["get"]["security"] == [{}]


async def test_the_events_of_a_stream_are_described(described: dict[str, Any]) -> None:
    answered = described["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]
    event = answered["content"]["text/event-stream"]["schema"]
    told, done = event["properties"]["data"]["anyOf"]
    models = [each["$ref"].rpartition("/")[2] for each in told["contentSchema"]["anyOf"]]
    assert models == ["ChatChunk", "LastChunk", "UsageChunk", "ErrorBody"]
    assert set(models) <= set(described["components"]["schemas"])
    assert done["const"] == "[DONE]"
