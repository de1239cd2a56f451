"""Errors over HTTP, in the shape that OpenAI's clients know: status, type, param, code.

``code`` is the UPPER_SNAKE reason of ``SensoriumError``, ``param`` the field or asset at fault.
"""

import logging
import math

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from services.runtime import errors, telemetry
from services.runtime.errors import InternalFailure, InvalidInput, SensoriumError
from services.runtime.streams import first_error

log = logging.getLogger(__name__)

STATUS: dict[type[SensoriumError], tuple[int, str]] = {
    errors.InvalidInput: (400, "invalid_request_error"),
    errors.LimitExceeded: (413, "invalid_request_error"),
    errors.Unauthenticated: (401, "authentication_error"),
    errors.PermissionDenied: (403, "permission_error"),
    errors.NotFound: (404, "not_found_error"),
    errors.AlreadyExists: (409, "invalid_request_error"),
    errors.OutOfOrder: (409, "invalid_request_error"),
    errors.Overloaded: (429, "rate_limit_error"),
    errors.Unavailable: (503, "server_error"),
    errors.InternalFailure: (500, "server_error"),
}


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    """One sentence: what is wrong and what to do about it."""
    type: str
    param: str | None
    """The field, part, asset or file at fault."""
    code: str
    """Stable UPPER_SNAKE reason, for programs."""


class ErrorBody(BaseModel):
    """The body of every response that is not a success."""

    error: ErrorDetail


def to_client(error: BaseException) -> SensoriumError:
    """What a client may see of an error: ours as it is, the first of a group, else INTERNAL."""
    error = first_error(error)
    if isinstance(error, SensoriumError):
        return error
    trace_id = telemetry.current_trace_id()
    log.error("a request failed, trace %s", trace_id, exc_info=error)
    return InternalFailure(
        "INTERNAL", f"Something went wrong on the server; trace {trace_id} has the details."
    )


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
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"] if part != "body")
        return error_response(
            InvalidInput("FIELD_INVALID", f"{field or 'body'}: {problem['msg']}", subject=field)
        )

    async def framework(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        detail = ErrorDetail(
            message=str(error.detail),
            type="not_found_error" if error.status_code == 404 else "invalid_request_error",
            param=None,
            code={404: "PATH_UNKNOWN", 405: "METHOD_NOT_ALLOWED"}.get(
                error.status_code, "REQUEST_INVALID"
            ),
        )
        return JSONResponse(
            ErrorBody(error=detail).model_dump(), error.status_code, dict(error.headers or {})
        )

    app.add_exception_handler(SensoriumError, ours)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(Exception, ours)
