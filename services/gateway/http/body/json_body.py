"""JSON bodies into models, and what is wrong with them in the words of the request."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from services.runtime.errors import InvalidInput

PROBLEM_CHARACTERS_MAX = 300

ModelT = TypeVar("ModelT", bound=BaseModel)


async def read_json(request: Request, model: type[ModelT]) -> ModelT:
    """The body of a request as a model; raises as ``parse_json``. The routes read it themselves,
    once it is known who asks."""
    return parse_json(await request.body(), model)


def parse_json(body: bytes | str, model: type[ModelT]) -> ModelT:
    """A body as a model, without reading numbers out of strings and the like. Raises InvalidInput
    JSON_INVALID, or as ``invalid``, which names the field as the request spells it, such as
    ``messages[0].content[1].image_url.url``."""
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if problem["type"] == "json_invalid":
        raise InvalidInput("JSON_INVALID", "The body is not well-formed JSON.", subject="body")
    raise invalid(json.loads(body), problem)


def invalid(value: Any, problem: ErrorDetails) -> InvalidInput:
    """The error of a problem in a value: FIELD_UNKNOWN or FIELD_INVALID, naming the field."""
    field = spelled(value, problem)
    if problem["type"] == "extra_forbidden":
        return InvalidInput("FIELD_UNKNOWN", f"There is no field {field}.", subject=field)
    return field_invalid(field, problem["msg"])


def field_invalid(field: str, problem: str) -> InvalidInput:
    """The error of a field whose value is not what it should be."""
    return InvalidInput(
        "FIELD_INVALID", f"{field}: {problem[:PROBLEM_CHARACTERS_MAX]}.", subject=field
    )


def spelled(value: Any, problem: ErrorDetails) -> str:
    """Where a problem in a JSON value is, as the request spells it, without the names of the
    alternatives that were tried."""
    spelled = ""
    for position, step in enumerate(path := problem["loc"]):
        missing = problem["type"] == "missing" and position == len(path) - 1
        if isinstance(step, int) and isinstance(value, list):
            spelled += f"[{step}]"
            value = value[step]
        elif isinstance(step, str) and isinstance(value, dict) and (step in value or missing):
            spelled += f".{step}" if spelled else step
            value = value.get(step)
    return spelled or "body"
