"""Request bodies that the routes read themselves, and streams, as OpenAPI describes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from services.gateway.http import failures
from services.gateway.http.errors import ErrorBody
from services.gateway.http.examples import examples
from services.runtime.settings import Settings

TAGS = {
    "chat": "Questions over text, pictures, sound and video, as OpenAI's chat completions.",
    "conversations": "What was asked and answered, and goes on later.",
    "files": "Media: stored, understood, served and deleted.",
    "search": "Moments, regions and passages of what is stored.",
    "embeddings": "Vectors of texts and pictures.",
    "audio": "What is said.",
    "video": "What is seen and said.",
    "moderations": "What should not be shown.",
    "models": "What answers.",
    "traces": "Where the time of an answer went.",
    "usage": "What requests took.",
    "health": "For probes; no key is asked for.",
}
SECURITY = "bearer"
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key or a JWT. Not asked for where credentials are off, as they are by "
    "default where only this machine can reach the server.",
}
_SCHEMAS = "#/components/schemas/{model}"


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """``openapi_extra`` of a route that takes a model as JSON. The model's schema comes from
    ``describe``."""
    content = {"application/json": {"schema": reference(model)}}
    return {"requestBody": {"required": required, "content": content}}


def json_or_form(model: type[BaseModel], field: str) -> dict[str, Any]:
    """``openapi_extra`` of a route that takes a model as JSON, or as a ``field`` of a form with
    files. The model's schema comes from ``describe``."""
    described = reference(model)
    form = {
        "type": "object",
        "properties": {
            field: {**described, "description": "The request as JSON; it comes first."},
            "file": {
                "type": "array",
                "items": {"type": "string", "format": "binary"},
                "description": "Media of the last message. Any other name will do.",
            },
        },
        "required": [field],
    }
    content = {
        "application/json": {"schema": described},
        "multipart/form-data": {
            "schema": form,
            "encoding": {field: {"contentType": "application/json"}},
        },
    }
    return {"requestBody": {"required": True, "content": content}}


def event_stream(*models: type[BaseModel]) -> dict[str, Any]:
    """The entry of ``responses`` for events whose data is one of the models, or what went wrong
    meanwhile, up to ``[DONE]``. The models' schemas come from ``describe``."""
    told = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [*map(reference, models), reference(ErrorBody)]},
    }
    data = {"anyOf": [told, {"const": "[DONE]", "description": "The last event."}]}
    # Of each event: only OpenAPI 3.2 has another word for it.
    event = {"type": "object", "properties": {"data": data}, "required": ["data"]}
    return {"content": {"text/event-stream": {"schema": event}}}


def describe(
    app: FastAPI,
    requests: Sequence[type[BaseModel]],
    events: Sequence[type[BaseModel]],
    settings: Settings,
) -> None:
    """Add to what the app describes by itself: the schemas of models, the errors, examples of
    requests, and whether credentials are asked for."""
    describe_routes = app.openapi
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        *((model, "validation") for model in requests),
        *((model, "serialization") for model in events),
    ]

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            described = describe_routes()
            _, ours = models_json_schema(models, ref_template=_SCHEMAS)
            components = described["components"]
            components["schemas"] = ours["$defs"] | components["schemas"]
            components |= failures.components()
            components["securitySchemes"] = {SECURITY: _BEARER}
            described["security"] = [{SECURITY: []}]
            if settings.auth == "off":
                described["security"].append({})
            described["servers"] = [{"url": "/"}]
            described["tags"] = _tags(described["paths"])
            _complete(described["paths"], examples(settings.language_model))
        return describe_routes()

    # As FastAPI's guide has it ("Extending OpenAPI").
    app.openapi = openapi  # type: ignore[method-assign]


def _complete(paths: dict[str, Any], shown: Mapping[str, Any]) -> None:
    """Tell of each operation its errors and, by its id, its examples."""
    for path, operations in paths.items():
        for operation in operations.values():
            del operation["responses"]["default"]
            failures.tell(path, operation)
            for parameter in operation.get("parameters", ()):
                _without_null(parameter["schema"])
            if found := shown.get(operation["operationId"]):
                operation["requestBody"]["content"]["application/json"]["examples"] = found


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that may be left out; a URL cannot say null."""
    found = [each for each in schema.pop("anyOf", ()) if each != {"type": "null"}]
    if found:
        schema |= found[0] if len(found) == 1 else {"anyOf": found}


def _tags(paths: dict[str, Any]) -> list[dict[str, str]]:
    used = {
        tag
        for path in paths.values()
        for operation in path.values()
        for tag in operation.get("tags", ())
    }
    return [{"name": name, "description": TAGS[name]} for name in TAGS if name in used]


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """Where the schema of a model is, which ``describe`` adds."""
    return {"$ref": _SCHEMAS.format(model=model.__name__)}
