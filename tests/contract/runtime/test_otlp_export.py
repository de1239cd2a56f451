"""Traces and metrics reach a collector: a real server process, a real OTLP endpoint."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from sensorium.fuse.v1 import fuse_pb2, fuse_pb2_grpc

from services.runtime.channel import open_channel
from tests.ports import free_port

START_WITHIN_S = 60.0
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALL = "sensorium.fuse.v1.FuseService/StreamingFuse"


class Collector(trace_grpc.TraceServiceServicer, metrics_grpc.MetricsServiceServicer):
    """Keeps what is exported to it: the names of metrics, and of spans by their trace."""

    def __init__(self) -> None:
        self.spans: dict[str, set[str]] = {}
        self.metrics: set[str] = set()

    async def Export(self, request: Any, context: Any) -> Any:
        """Both services call it so."""
        if isinstance(request, trace_pb2.ExportTraceServiceRequest):
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        self.spans.setdefault(span.trace_id.hex(), set()).add(span.name)
            return trace_pb2.ExportTraceServiceResponse()
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics |= {metric.name for metric in scope.metrics}
        return metrics_pb2.ExportMetricsServiceResponse()


async def until_serving(address: str) -> None:
    async with open_channel(address) as channel, asyncio.timeout(START_WITHIN_S):
        stub = health_pb2_grpc.HealthStub(channel)
        check = health_pb2.HealthCheckRequest()
        await stub.Check(check, wait_for_ready=True)
        async for state in stub.Watch(check):
            if state.status == health_pb2.HealthCheckResponse.SERVING:
                return


async def fuse_nothing(address: str) -> None:
    """One call, in a trace that began elsewhere."""
    metadata = (("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01"),)
    requests = [
        fuse_pb2.StreamingFuseRequest(config=fuse_pb2.FuseConfig()),
        fuse_pb2.StreamingFuseRequest(finish=fuse_pb2.FuseFinish()),
    ]
    async with open_channel(address) as channel:
        stub = fuse_pb2_grpc.FuseServiceStub(channel)
        events = [event async for event in stub.StreamingFuse(iter(requests), metadata=metadata)]
    assert events[-1].WhichOneof("event") == "summary"


async def test_a_call_is_exported_with_its_trace_and_its_metrics(tmp_path: Path) -> None:
    collector = Collector()
    server = grpc.aio.server()
    trace_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    metrics_grpc.add_MetricsServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    port = free_port()
    environment = {
        "SENSORIUM_PORT": str(port),
        "SENSORIUM_HTTP_PORT": "0",
        "SENSORIUM_DATA_DIR": str(tmp_path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{endpoint}",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "fuse"), env={**os.environ, **environment}
    )
    try:
        await until_serving(f"127.0.0.1:{port}")
        await fuse_nothing(f"127.0.0.1:{port}")
        # What is not exported yet must be when it ends in good order.
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await server.stop(0)
    assert CALL in collector.spans[TRACE_ID]
    assert {"multimodal_requests", "multimodal_request_duration"} <= collector.metrics
