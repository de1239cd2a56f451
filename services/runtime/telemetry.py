"""Traces and metrics by OpenTelemetry: kept in memory for GetTrace, exported over OTLP if set."""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence

from opentelemetry import context as otel_context
from opentelemetry import metrics as otel_metrics
from opentelemetry import trace
from opentelemetry.propagate import extract, inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from services.runtime.settings import Settings

INSTRUMENTATION = "sensorium"
TENANT = "sensorium.tenant"
"""Attribute of a span: for whom the work is done. Ids of traces are chosen by clients, so the same
may be used by two tenants."""
SPANS_PER_TRACE_MAX = 2000
SPANS_MAX = 20_000
"""Of all traces kept in memory, at 3 KB each: a folder of small files makes that many soon."""


class RecentSpans(SpanProcessor):
    """Keeps the spans of the latest traces in memory, for ``GetTrace``. Thread-safe."""

    def __init__(self, trace_count_max: int) -> None:
        self._trace_count_max = trace_count_max
        self._traces: OrderedDict[int, list[ReadableSpan]] = OrderedDict()
        self._span_count = 0
        self._lock = threading.Lock()

    def on_start(self, span: Span, parent_context: otel_context.Context | None = None) -> None:
        """A span is of the tenant that its parent is of; it is kept when it ends."""
        parent = trace.get_current_span(parent_context)
        if isinstance(parent, ReadableSpan) and TENANT in (parent.attributes or {}):
            span.set_attribute(TENANT, (parent.attributes or {})[TENANT])

    def on_end(self, span: ReadableSpan) -> None:
        """Keep the span; forget the oldest traces when there are too many, of either."""
        span_context = span.get_span_context()
        if span_context is None:
            return
        with self._lock:
            spans = self._traces.setdefault(span_context.trace_id, [])
            self._traces.move_to_end(span_context.trace_id)
            if len(spans) < SPANS_PER_TRACE_MAX:
                spans.append(span)
                self._span_count += 1
            while len(self._traces) > self._trace_count_max or self._span_count > SPANS_MAX:
                _, oldest = self._traces.popitem(last=False)
                self._span_count -= len(oldest)

    def shutdown(self) -> None:
        """Nothing to flush."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing to flush."""
        return True

    def spans(self, trace_id: int) -> Sequence[ReadableSpan]:
        """The finished spans of a trace in order of their start; empty if unknown."""
        with self._lock:
            found = list(self._traces.get(trace_id, ()))
        return sorted(found, key=lambda span: span.start_time or 0)


def install(settings: Settings) -> TracerProvider:
    """Install the process's tracer; the first call decides where it exports to."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        resource = Resource.create({"service.name": INSTRUMENTATION})
        provider = TracerProvider(resource=resource)
        if settings.otlp_endpoint:
            _export(provider, settings.otlp_endpoint, resource)
        trace.set_tracer_provider(provider)
    return provider


def remember_spans(settings: Settings) -> RecentSpans:
    """Keep the spans that this process ends from now on."""
    recent = RecentSpans(settings.trace_count_max)
    install(settings).add_span_processor(recent)
    return recent


def _export(provider: TracerProvider, endpoint: str, resource: Resource) -> None:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    insecure = not endpoint.startswith("https://")
    spans = OTLPSpanExporter(endpoint=endpoint, insecure=insecure)
    provider.add_span_processor(BatchSpanProcessor(spans))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint, insecure=insecure))
    otel_metrics.set_meter_provider(MeterProvider([reader], resource=resource))


# A proxy until a provider is installed, as OpenTelemetry intends. Got once: getting one costs
# as much as a span.
_tracer = trace.get_tracer(INSTRUMENTATION)


@contextlib.contextmanager
def span(name: str, **attributes: AttributeValue) -> Iterator[Span]:
    """A piece of work inside the process, child of the current span."""
    with _tracer.start_as_current_span(name, attributes=attributes) as current:
        yield current


@contextlib.contextmanager
def server_span(
    name: str, carrier: Mapping[str, str], attributes: Mapping[str, AttributeValue]
) -> Iterator[Span]:
    """The serving side of a call, child of the caller's span in W3C ``carrier``."""
    with _tracer.start_as_current_span(
        name, context=extract(carrier), kind=SpanKind.SERVER, attributes=attributes
    ) as current:
        yield current


def start_client_span(method: str) -> tuple[Span, dict[str, str]]:
    """The calling side of a call: a span to end when it is over, and the metadata to send."""
    current = _tracer.start_span(
        method.lstrip("/"),
        kind=SpanKind.CLIENT,
        attributes={"rpc.system": "grpc", "rpc.method": method},
    )
    carrier: dict[str, str] = {}
    inject(carrier, context=trace.set_span_in_context(current))
    return current, carrier


def mark_tenant(current: Span, tenant_id: str) -> None:
    """Record for whom the work of a span is done."""
    current.set_attribute(TENANT, tenant_id)


def mark_failed(current: Span, reason: str) -> None:
    """Record that the work of a span failed."""
    current.set_status(Status(StatusCode.ERROR, reason))


def current_trace_id() -> str:
    """The trace of the current span, 32 hexadecimal digits; zeros outside of one."""
    return trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)


def current_span_id() -> str:
    """The current span, 16 hexadecimal digits; zeros outside of one."""
    return trace.format_span_id(trace.get_current_span().get_span_context().span_id)


class Metrics:
    """The platform's instruments, by the names that dashboards use."""

    def __init__(self, meter: otel_metrics.Meter) -> None:
        self.requests = meter.create_counter("multimodal_requests", "1", "Calls served")
        self.errors = meter.create_counter("multimodal_errors", "1", "Calls failed, by reason")
        self.request_duration = meter.create_histogram(
            "multimodal_request_duration", "s", "Length of calls"
        )
        self.encoding_duration = meter.create_histogram(
            "multimodal_encoding_duration", "s", "Length of forward passes, by task"
        )
        self.batch_size = meter.create_histogram(
            "multimodal_batch_size", "1", "Items in a forward pass, by task"
        )
        self.cache_hits = meter.create_counter("multimodal_cache_hits", "1", "By tier")
        self.cache_misses = meter.create_counter("multimodal_cache_misses", "1", "By tier")
        self.moderations = meter.create_counter(
            "multimodal_moderations", "1", "Things flagged or blocked, by part, category and action"
        )
        self.limited = meter.create_counter(
            "multimodal_limited", "1", "Requests past their tenant's limits, by reason and resource"
        )
        self.tokens = meter.create_counter("multimodal_tokens", "1", "Prompt and completion tokens")
        self.generation_latency = meter.create_histogram(
            "multimodal_generation_latency", "s", "By phase: ttft or total"
        )
        self.index_queue_wait = meter.create_histogram(
            "multimodal_index_queue_wait", "s", "Wait for the writer of the index, by kind"
        )
        self.index_commit_duration = meter.create_histogram(
            "multimodal_index_commit_duration", "s", "Commits until durable, by kind"
        )
        self.index_rows = meter.create_counter(
            "multimodal_index_rows", "1", "Rows committed, by kind: write or delete"
        )
        self.index_compaction_duration = meter.create_histogram(
            "multimodal_index_compaction_duration", "s", "Length of compactions of a table"
        )
        self.index_forwarded = meter.create_counter(
            "multimodal_index_forwarded", "1", "Calls sent on to the writer of the index"
        )


# A proxy until a provider is installed, as OpenTelemetry intends.
metrics = Metrics(otel_metrics.get_meter(INSTRUMENTATION))
