"""The one table from domain errors to gRPC, and the one place that builds their messages."""

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import StatusCode
from sensorium.media.v1 import stream_pb2

from services.runtime import errors
from services.runtime.durations import to_duration, to_seconds

ERROR_DOMAIN = "sensorium"
MESSAGE_BYTES_MAX = 1024
SUBJECT_BYTES_MAX = 256
"""Clients may name what is at fault as they like, and an error must fit into the trailers of a
call, of which gRPC takes 8 KiB: a longer one arrives as RESOURCE_EXHAUSTED instead."""

STATUS_CODES: dict[type[errors.SensoriumError], StatusCode] = {
    errors.InvalidInput: StatusCode.INVALID_ARGUMENT,
    errors.LimitExceeded: StatusCode.OUT_OF_RANGE,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.OutOfOrder: StatusCode.FAILED_PRECONDITION,
    errors.TimedOut: StatusCode.DEADLINE_EXCEEDED,
    errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.InternalFailure: StatusCode.INTERNAL,
}

ERROR_TYPES = {code.value[0]: error_type for error_type, code in STATUS_CODES.items()}


def stream_error(error: errors.SensoriumError) -> stream_pb2.StreamError:
    """The in-band form of an error."""
    message = stream_pb2.StreamError(
        code=STATUS_CODES[type(error)].value[0],
        reason=error.reason,
        message=_clipped(error.message, MESSAGE_BYTES_MAX),
        subject=_clipped(error.subject, SUBJECT_BYTES_MAX),
    )
    if error.retry_after_s is not None:
        message.retry_delay.CopyFrom(to_duration(error.retry_after_s))
    return message


def item_error(item_id: str, error: errors.SensoriumError) -> stream_pb2.ItemError:
    """The in-band form of an error of one item; the stream goes on."""
    return stream_pb2.ItemError(item_id=item_id, error=stream_error(error))


def from_stream_error(message: stream_pb2.StreamError) -> errors.SensoriumError:
    """The domain form of an error that a downstream stage told in band."""
    error_type = ERROR_TYPES.get(message.code, errors.InternalFailure)
    retry = to_seconds(message.retry_delay) if message.HasField("retry_delay") else None
    return error_type(message.reason, message.message, subject=message.subject, retry_after_s=retry)


def from_item_error(message: stream_pb2.ItemError) -> errors.SensoriumError:
    """The domain form of an item's error; its subject is the item where it names nothing else."""
    error = from_stream_error(message.error)
    error.subject = error.subject or message.item_id
    return error


def rich_status(error: errors.SensoriumError) -> status_pb2.Status:
    """The gRPC status with ErrorInfo and, where they help, BadRequest, QuotaFailure, RetryInfo."""
    text = _clipped(error.message, MESSAGE_BYTES_MAX)
    subject = _clipped(error.subject, SUBJECT_BYTES_MAX)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason,
            domain=ERROR_DOMAIN,
            metadata={"subject": subject} if subject else {},
        )
    ]
    if isinstance(error, errors.InvalidInput) and subject:
        violation = error_details_pb2.BadRequest.FieldViolation(field=subject, description=text)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.Overloaded):
        quota = error_details_pb2.QuotaFailure.Violation(
            subject=subject or ERROR_DOMAIN, description=text
        )
        details.append(error_details_pb2.QuotaFailure(violations=[quota]))
    if error.retry_after_s is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=to_duration(error.retry_after_s)))
    packed = []
    for detail in details:
        holder = any_pb2.Any()
        holder.Pack(detail)
        packed.append(holder)
    code = STATUS_CODES[type(error)].value[0]
    assert code in code_pb2.Code.values()
    return status_pb2.Status(code=code, message=text, details=packed)


def _clipped(text: str, bytes_max: int) -> str:
    return text.encode()[:bytes_max].decode(errors="ignore")
