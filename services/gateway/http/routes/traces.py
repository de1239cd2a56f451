"""``/v1/traces``: where the time of a recent request went."""

from typing import Annotated

from fastapi import Path, Request
from google.protobuf.json_format import MessageToDict
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.http.front import FrontDep
from services.gateway.http.router import Router
from services.gateway.http.schema import Schema

router = Router(prefix="/v1/traces", tags=["traces"])


class TraceSpan(Schema):
    """A timed piece of work, in the JSON mapping of the contract, as on the WebSocket."""

    spanId: str  # noqa: N815 - the mapping's name
    parentSpanId: str  # noqa: N815
    name: str
    kind: str
    startTime: str  # noqa: N815
    endTime: str  # noqa: N815
    error: bool
    attributes: dict[str, str]


class Trace(Schema):
    """The spans of a trace, in order of their start."""

    spans: list[TraceSpan]


@router.get("/{trace_id}")
async def get_trace(
    trace_id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], request: Request, front: FrontDep
) -> Trace:
    """The spans of a recent trace, which responses name in ``x-request-id``."""
    async with front.enter(request, "GetTrace") as scope:
        wanted = gateway_pb2.GetTraceRequest(trace_id=trace_id)
        found = await front.calls.get_trace(scope, wanted)
        spans = [
            MessageToDict(span, always_print_fields_with_no_presence=True) for span in found.spans
        ]
        return Trace.model_validate({"spans": spans})
