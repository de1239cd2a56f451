"""The traces kept in memory: the latest ones, and never too much of them."""

from opentelemetry.sdk.trace import TracerProvider

from services.runtime.telemetry import SPANS_MAX, SPANS_PER_TRACE_MAX, RecentSpans


def record(recent: RecentSpans, trace_count: int, spans_each: int) -> list[int]:
    """Record traces one after the other; their ids."""
    provider = TracerProvider()
    provider.add_span_processor(recent)
    tracer = provider.get_tracer("test")
    ids = []
    for _ in range(trace_count):
        with tracer.start_as_current_span("root") as root:
            for _ in range(spans_each - 1):
                tracer.start_span("child").end()
        ids.append(root.get_span_context().trace_id)
    return ids


def test_the_oldest_traces_make_room() -> None:
    recent = RecentSpans(trace_count_max=3)
    ids = record(recent, trace_count=5, spans_each=2)
    assert [len(recent.spans(trace_id)) for trace_id in ids] == [0, 0, 2, 2, 2]


def test_large_traces_make_room_before_they_are_many() -> None:
    recent = RecentSpans(trace_count_max=256)
    ids = record(recent, trace_count=14, spans_each=SPANS_PER_TRACE_MAX)
    kept = [len(recent.spans(trace_id)) for trace_id in ids]
    assert sum(kept) == SPANS_MAX
    assert kept[-10:] == [SPANS_PER_TRACE_MAX] * 10
