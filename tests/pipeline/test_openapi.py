"""What is served is what the served OpenAPI says, whatever is sent."""

import asyncio
import traceback
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.pipeline.platform import Platform

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 12
"""For each operation, of requests that its schema allows, and again of those that it does not."""
SEED = 5


@pytest.fixture
async def described(web: httpx2.AsyncClient) -> dict[str, Any]:
    """What is served as OpenAPI."""
    response = await web.get("/openapi.json")
    assert response.status_code == 200
    served: dict[str, Any] = response.json()
    return served


def bounded(body: Any, model: str) -> Any:
    """A request for an answer, made cheap. Half of them for the model that there is."""
    if isinstance(body, dict) and "messages" in body:
        model = model if len(str(body)) % 2 else body.get("model", model)
        return {**body, "max_tokens": 1, "max_completion_tokens": 1, "model": model}
    return body


def with_real_ids(case: Case[Any], asset_id: str) -> None:
    """Half of the requests that read something are for what there is."""
    if case.method == "GET" and "file_id" in case.path_parameters and len(str(case.query)) % 2:
        case.path_parameters["file_id"] = asset_id


def examine(
    described: dict[str, Any], platform: Platform, asset_id: str, examples: int = EXAMPLES
) -> list[str]:
    """Send what the schema allows and what it does not, to all operations; what is wrong."""
    schema = schemathesis.openapi.from_dict(described)
    wrong: list[str] = []

    def send(case: Case[Any]) -> None:
        case.body = bounded(case.body, platform.settings.language_model)
        with_real_ids(case, asset_id)
        case.call_and_validate(base_url=platform.http_url, checks=CHECKS, timeout=60)

    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            check = given(operation.as_strategy(mode))(send)
            check = settings(
                max_examples=examples,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )(seed(SEED)(check))
            try:
                check()
            except Unsatisfiable:
                # Anything is allowed, or there is nothing to say.
                continue
            except Exception as failure:  # noqa: BLE001 - all that is wrong is told at once
                # Of what failed once and not again, the first failure is within.
                told = "".join(traceback.format_exception(failure))
                wrong.append(f"{operation.label}, {mode.value}: {told}")
    return wrong


async def test_what_is_described_is_valid_and_complete(described: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(described).validate()
    assert described["servers"] == [{"url": "/"}]
    assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    told = {tag["name"] for tag in described["tags"]}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"] and operation["description"], (method, path)
            assert operation["tags"] and told.issuperset(operation["tags"]), (method, path)
            # One status each, so that the checks below see any other.
            assert not {"422", "default"} & set(operation["responses"]), (method, path)


async def test_each_example_is_answered(described: dict[str, Any], web: httpx2.AsyncClient) -> None:
    answered = set()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            shown = content.get("application/json", {}).get("examples", {})
            for name, example in shown.items():
                response = await web.request(method, path, json=example["value"])
                assert response.status_code == 200, (path, name, response.text)
                answered.add((operation["operationId"], name))
    assert {("createChatCompletion", kind) for kind in ("picture", "sound", "video")} <= answered
    assert {"search", "analyzeVideo"} <= {operation for operation, _ in answered}


@pytest.mark.timeout(300)
async def test_whatever_is_sent_the_contract_holds(
    described: dict[str, Any], platform: Platform, web: httpx2.AsyncClient
) -> None:
    stored = await web.post("/v1/files", files={"file": ("a.txt", b"The harbour at night.")})
    asset_id = stored.json()["id"]
    wrong = await asyncio.to_thread(examine, described, platform, asset_id)
    assert (await web.delete(f"/v1/files/{asset_id}")).status_code == 200
    assert not wrong, "\n\n".join(wrong)
