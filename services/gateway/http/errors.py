"""Errors over HTTP, in the shape that OpenAI's clients know: status, type, param, code.

``code`` is the UPPER_SNAKE reason of ``SensoriumError``, ``param`` the field or asset at fault.
"""

import math

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.gateway.http.body.json_body import field_invalid
from services.gateway.http.schema import Schema
from services.runtime import errors
from services.runtime.errors import InvalidInput, SensoriumError
from services.runtime.served import current_call

STATUS: dict[type[SensoriumError], tuple[int, str]] = {
    errors.InvalidInput: (400, "invalid_request_error"),
    errors.LimitExceeded: (413, "invalid_request_error"),
    errors.Unauthenticated: (401, "authentication_error"),
    errors.PermissionDenied: (403, "permission_error"),
    errors.NotFound: (404, "not_found_error"),
    errors.AlreadyExists: (409, "invalid_request_error"),
    errors.OutOfOrder: (409, "invalid_request_error"),
    errors.TimedOut: (408, "invalid_request_error"),
    errors.Overloaded: (429, "rate_limit_error"),
    errors.Unavailable: (503, "server_error"),
    errors.InternalFailure: (500, "server_error"),
}

DESCRIPTION_PATH = "/openapi.json"


class ErrorDetail(Schema):
    """What went wrong."""

    message: str
    """One sentence: what is wrong and what to do about it."""
    type: str
    param: str | None
    """The field, part, asset or file at fault."""
    code: str
    """Stable UPPER_SNAKE reason, for programs."""


class ErrorBody(Schema):
    """The body of every response that is not a success."""

    error: ErrorDetail


def to_client(error: BaseException) -> SensoriumError:
    """What a client may see of an error, which is noted with the request."""
    return current_call().failed(error)


def error_body(error: SensoriumError) -> ErrorBody:
    """The body that tells of an error, also inside a stream of events."""
    return ErrorBody(
        error=ErrorDetail(
            message=error.message,
            type=STATUS[type(error)][1],
            param=error.subject or None,
            code=error.reason,
        )
    )


def error_response(error: SensoriumError) -> JSONResponse:
    """The response that tells of an error, with Retry-After where waiting helps."""
    status, _ = STATUS[type(error)]
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(error).model_dump(), status, headers)


def install(app: FastAPI) -> None:
    """Answer every error of the app in this shape."""

    async def ours(_: Request, error: Exception) -> JSONResponse:
        return error_response(to_client(error))

    async def malformed(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return error_response(to_client(_malformed(error)))

    async def gone(_: Request, error: Exception) -> JSONResponse:
        cut_off = InvalidInput("REQUEST_CUT_OFF", "The request ended before its body did.")
        return error_response(to_client(cut_off))

    async def framework(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, SensoriumError):
            # The framework's word for whatever ends the reading of a body.
            return error_response(to_client(error.__cause__))
        detail = ErrorDetail(
            message=str(error.detail),
            type="not_found_error" if error.status_code == 404 else "invalid_request_error",
            param=None,
            code={404: "PATH_UNKNOWN", 405: "METHOD_NOT_ALLOWED"}.get(
                error.status_code, "REQUEST_INVALID"
            ),
        )
        headers = dict(error.headers or {})
        if error.status_code == 404:
            detail.message = f"There is no such path; {DESCRIPTION_PATH} tells of all there are."
            # RFC 8631
            headers["Link"] = f'<{DESCRIPTION_PATH}>; rel="service-desc"'
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return JSONResponse(ErrorBody(error=detail).model_dump(), error.status_code, headers)

    app.add_exception_handler(SensoriumError, ours)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(Exception, ours)


def _methods(app: FastAPI, request: Request) -> set[str]:
    """What can be done with a path. The framework tells those of the first route alone."""
    return {
        method
        for route in iter_route_contexts(app.routes)
        if route.methods and route.path_regex.match(request.scope["path"])
        for method in route.methods
    }


def _malformed(error: RequestValidationError) -> InvalidInput:
    """What is wrong with a path or a query; the routes read bodies themselves."""
    problem = error.errors()[0]
    _, *path = problem["loc"]
    return field_invalid(".".join(map(str, path)), problem["msg"])
