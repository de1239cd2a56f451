"""The errors that OpenAPI tells of each operation, from one table."""

from dataclasses import dataclass
from typing import Any

from services.gateway.http.errors import ErrorBody
from services.gateway.http.guard.tracing import REQUEST_ID

_REFERENCE = "#/components/{kind}/{name}"
_ERROR = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}}}
HEADERS: dict[str, dict[str, Any]] = {
    REQUEST_ID: {
        "description": "Id of the request's trace, to report with a problem.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again, where that helps.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "enum": ["Bearer"]}},
    "Content-Range": {
        "description": "`bytes */<size>`.",
        "required": True,
        "schema": {"type": "string"},
    },
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One status, as a response of OpenAPI. ``operations`` are those that answer with it, besides
    those of which the shape of the request tells it."""

    name: str
    description: str
    header: str = ""
    """Besides that of the trace."""
    operations: frozenset[str] = frozenset()


FAILURES = {
    400: Failure("BadRequest", "The request cannot work as it is; `param` names the field."),
    401: Failure("Unauthorized", "No credential, or one that does not hold.", "WWW-Authenticate"),
    403: Failure("Forbidden", "The credential, the page or the name of the server is refused."),
    404: Failure(
        "NotFound",
        "There is no such thing; `param` names it.",
        operations=frozenset({"createChatCompletion", "analyzeVideo", "search", "listFiles"}),
    ),
    408: Failure("RequestTimeout", "The body came too slowly."),
    409: Failure(
        "Conflict",
        "Not now: another turn of the conversation is at work.",
        "Retry-After",
        frozenset({"createChatCompletion"}),
    ),
    413: Failure("ContentTooLarge", "Past a limit of size or length."),
    416: Failure(
        "RangeNotSatisfiable",
        "The range lies behind the end.",
        "Content-Range",
        frozenset({"downloadFile"}),
    ),
    429: Failure("TooManyRequests", "Too much at once, or a limit is reached.", "Retry-After"),
    500: Failure("InternalServerError", "Our fault; the server's log has the cause."),
    503: Failure("ServiceUnavailable", "Still loading, full, or shutting down.", "Retry-After"),
}
_OF_ALL = frozenset({400, 403, 500, 503})
_WITH_CREDENTIAL = frozenset({401, 429})
_WITH_BODY = frozenset({408, 413})
_BY_ID = frozenset({404})


def components() -> dict[str, Any]:
    """The responses and headers that operations refer to."""
    responses = {}
    for failure in FAILURES.values():
        names = [REQUEST_ID, failure.header] if failure.header else [REQUEST_ID]
        responses[failure.name] = {
            "description": failure.description,
            "headers": {name: _reference("headers", name) for name in names},
            "content": _ERROR,
        }
    return {"responses": responses, "headers": HEADERS}


def tell(path: str, operation: dict[str, Any]) -> None:
    """Add to an operation the errors that it answers with, and to all its responses the header of
    the trace."""
    responses = operation["responses"]
    for response in responses.values():
        response.setdefault("headers", {})[REQUEST_ID] = _reference("headers", REQUEST_ID)
    told = set(_OF_ALL)
    if operation.get("security") != [{}]:
        told |= _WITH_CREDENTIAL
    if "requestBody" in operation:
        told |= _WITH_BODY
    if "{" in path:
        told |= _BY_ID
    for status, failure in FAILURES.items():
        if status in told or operation["operationId"] in failure.operations:
            responses[str(status)] = _reference("responses", failure.name)


def _reference(kind: str, name: str) -> dict[str, Any]:
    return {"$ref": _REFERENCE.format(kind=kind, name=name)}
