"""The one error that the client raises for what a server or a connection reports."""

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from sensorium.media.v1 import stream_pb2


class SensoriumClientError(Exception):
    """What went wrong, as the server told it.

    ``code`` is the name of the gRPC status code, such as ``INVALID_ARGUMENT``;
    ``reason`` is UPPER_SNAKE_CASE and stable, for programs; ``message`` is one
    sentence for a person; ``subject`` is the field, asset or file at fault, or
    empty; ``retry_after_s`` says when trying again makes sense, or is None.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        message: str,
        *,
        subject: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.subject = subject
        self.retry_after_s = retry_after_s


_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

# What to say where the status carries no text of its own.
_PLAIN_MESSAGES = {
    grpc.StatusCode.UNAVAILABLE: "The server cannot be reached.",
    grpc.StatusCode.UNIMPLEMENTED: "The server does not offer this call.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "The server did not answer in time.",
    grpc.StatusCode.CANCELLED: "The call was cancelled.",
}


def from_stream_error(error: stream_pb2.StreamError) -> SensoriumClientError:
    """The error of an in-band ``StreamError`` event."""
    return SensoriumClientError(
        _CODE_NAMES.get(error.code, "UNKNOWN"),
        error.reason,
        error.message,
        subject=error.subject,
        retry_after_s=(
            error.retry_delay.ToMilliseconds() / 1000 if error.HasField("retry_delay") else None
        ),
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> SensoriumClientError:
    """The error of a gRPC status: of its ErrorInfo and RetryInfo where it has them."""
    reason, subject, retry_after_s = error.code().name, "", None
    message = _PLAIN_MESSAGES.get(error.code(), error.details() or "The call failed.")
    rich = _rich_status(error)
    if rich is not None:
        message = rich.message
        for detail in rich.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                reason, subject = info.reason, info.metadata.get("subject", "")
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry = error_details_pb2.RetryInfo()
                detail.Unpack(retry)
                retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    return SensoriumClientError(
        error.code().name, reason, message, subject=subject, retry_after_s=retry_after_s
    )


def _rich_status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata():
        if key == rpc_status.GRPC_DETAILS_METADATA_KEY and isinstance(value, bytes):
            status: status_pb2.Status = status_pb2.Status.FromString(value)
            return status
    return None
