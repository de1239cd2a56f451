"""Recent traces as clients see them."""

import re

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, format_span_id
from sensorium.gateway.v1 import gateway_pb2

from services.runtime.errors import InvalidInput, NotFound
from services.runtime.telemetry import TENANT, RecentSpans


def read_trace(recent: RecentSpans, trace_id: str, tenant_id: str) -> gateway_pb2.GetTraceResponse:
    """The spans of a trace that are of a tenant. Raises InvalidInput or NotFound."""
    if not re.fullmatch(r"[0-9a-f]{32}", trace_id):
        raise InvalidInput(
            "TRACE_ID_INVALID", "trace_id must be 32 hexadecimal digits.", subject="trace_id"
        )
    spans = [
        span
        for span in recent.spans(int(trace_id, 16))
        if (span.attributes or {}).get(TENANT) == tenant_id
    ]
    if not spans:
        raise NotFound(
            "TRACE_UNKNOWN", "No such trace is kept; only recent ones are.", subject="trace_id"
        )
    return gateway_pb2.GetTraceResponse(spans=[_span(span) for span in spans])


def _span(span: ReadableSpan) -> gateway_pb2.Span:
    context = span.get_span_context()
    result = gateway_pb2.Span(
        span_id=format_span_id(context.span_id) if context else "",
        parent_span_id=format_span_id(span.parent.span_id) if span.parent else "",
        name=span.name,
        kind=span.kind.name.lower(),
        error=span.status.status_code == StatusCode.ERROR,
        attributes={key: str(value) for key, value in (span.attributes or {}).items()},
    )
    result.start_time.FromNanoseconds(span.start_time or 0)
    result.end_time.FromNanoseconds(span.end_time or 0)
    return result
