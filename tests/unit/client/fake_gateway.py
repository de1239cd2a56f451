"""A gateway that speaks the real contract over a real port, and says what it is told to say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.gateway.v1 import gateway_pb2_grpc, usage_pb2
from sensorium.media.v1 import check_pb2, media_pb2, upload_pb2

from tests.unit.client.fake_downloads import Downloads
from tests.unit.client.fake_messages import (
    TRACE_ID,
    Context,
    abort,
    citation,
    locator,
    seconds,
    turn_complete,
    weighted,
)
from tests.unit.client.fake_searches import Searches
from tests.unit.client.fake_uploads import Received, Uploads

ConverseRequests = AsyncIterator[pb.StreamingConverseRequest]
ConverseResponses = AsyncIterator[pb.StreamingConverseResponse]


@dataclass
class FakeGateway(Uploads, Downloads, Searches):
    """Scriptable: set the fields before the call, read what arrived after it."""

    converse: Callable[["FakeGateway", ConverseRequests, Context], ConverseResponses] | None = None
    flagged: pb.Moderation | None = None

    configs: list[pb.ConverseConfig] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    asset_ids_asked: list[list[str]] = field(default_factory=list)
    usage_requests: list[usage_pb2.GetUsageRequest] = field(default_factory=list)
    traceparents: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    cancel_turns: int = 0

    async def StreamingConverse(
        self, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        """Run the script; note its end, also by a cancel."""
        metadata = dict(context.invocation_metadata() or ())
        self.traceparents.append(str(metadata["traceparent"]))
        context.add_done_callback(lambda *_: self.ended.set())  # type: ignore[arg-type]
        script = self.converse or answer_everything
        async for response in script(self, requests, context):
            yield response

    async def Ask(self, request: pb.AskRequest, context: Context) -> AsyncIterator[pb.AskResponse]:
        """Not used by the client."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        yield pb.AskResponse()

    async def Transcribe(
        self, request: pb.TranscribeRequest, context: Context
    ) -> AsyncIterator[pb.TranscribeResponse]:
        """Two sentences, after what it is told to flag in them."""
        if self.flagged is not None:
            yield pb.TranscribeResponse(moderation=self.flagged)
        for index, text in enumerate(("The lighthouse is old.", "The river is wide.")):
            yield pb.TranscribeResponse(
                span=locator(index, index + 1).span,
                transcript=media_pb2.Transcript(text=text, language="en"),
            )

    async def Caption(self, request: pb.CaptionRequest, context: Context) -> pb.CaptionResponse:
        """A sentence, or a rich error for an unknown asset."""
        if request.asset_id == "unknown":
            await abort(context, 5, "ASSET_UNKNOWN", "There is no such asset.", retry_s=2)
        return pb.CaptionResponse(text="A cat.", citations=[citation()])

    async def Check(
        self, request: pb.CheckRequest, context: Context
    ) -> AsyncIterator[pb.CheckResponse]:
        """Faults that can be mended, and with ``deep`` one that cannot."""
        mendable = [check_pb2.FAULT_ORPHAN, check_pb2.FAULT_BYTES_MISSING]
        faults = mendable + [check_pb2.FAULT_BYTES_DAMAGED] * request.deep
        for fault in faults:
            repaired = request.repair and fault in mendable
            finding = check_pb2.Finding(fault=fault, message="a sentence", repaired=repaired)
            yield pb.CheckResponse(finding=finding)
        summary = pb.CheckSummary(
            asset_count=3, finding_count=len(faults), repaired_count=len(mendable) * request.repair
        )
        yield pb.CheckResponse(summary=summary)

    async def GetUsage(
        self, request: usage_pb2.GetUsageRequest, context: Context
    ) -> usage_pb2.GetUsageResponse:
        """Two days, or two tenants."""
        self.usage_requests.append(request)
        keys = ("acme", "") if request.all_tenants else ("2026-11-23", "2026-11-24")
        totals = [
            usage_pb2.UsageTotal(
                key=key,
                request_count=1200,
                failed_count=1,
                prompt_token_count=700,
                completion_token_count=30,
                media_duration=seconds(3725.0),
                media_bytes=5_000_000,
                cost_micros=250_000,
            )
            for key in keys
        ]
        return usage_pb2.GetUsageResponse(totals=totals, currency="EUR")

    async def GetTrace(self, request: pb.GetTraceRequest, context: Context) -> pb.GetTraceResponse:
        """A root and a child."""
        root = pb.Span(span_id="a" * 16, name="GatewayService/StreamingConverse", kind="server")
        child = pb.Span(
            span_id="b" * 16, parent_span_id="a" * 16, name="encode.batch", kind="internal"
        )
        for span, end_ms in ((root, 900), (child, 400)):
            span.start_time.FromMilliseconds(1_700_000_000_000)
            span.end_time.FromMilliseconds(1_700_000_000_000 + end_ms)
        return pb.GetTraceResponse(spans=[root, child])


async def answer_everything(
    gateway: FakeGateway, requests: ConverseRequests, context: Context
) -> ConverseResponses:
    """Take whatever comes and answer each turn "A cat." with a citation."""
    response = pb.StreamingConverseResponse
    question, turns = "", 0
    async for request in requests:
        turn_id = request.turn_id
        match request.WhichOneof("message"):
            case "config":
                gateway.configs.append(request.config)
                yield response(
                    ready=pb.StreamReady(trace_id=TRACE_ID, effective_config=request.config)
                )
            case "asset_start":
                gateway.assets[request.asset_start.asset_id] = Received(request.asset_start)
                yield response(
                    turn_id=turn_id,
                    upload_opened=upload_pb2.UploadOpened(asset_id=request.asset_start.asset_id),
                )
            case "chunk":
                gateway.note_chunk(request.chunk)
            case "asset_finish":
                yield response(turn_id=turn_id, asset=gateway.store(request.asset_finish))
            case "text":
                question += request.text.text
            case "cancel_turn":
                gateway.cancel_turns += 1
                cancelled = turn_complete()
                cancelled.finish_reason = pb.TURN_FINISH_REASON_CANCELLED
                yield response(turn_id=turn_id, turn_complete=cancelled)
            case "end_turn":
                gateway.questions.append(question)
                gateway.asset_ids_asked.append(list(request.end_turn.asset_ids))
                question, turns = "", turns + 1
                yield response(turn_id=turn_id, evidence=pb.EvidenceWeights(evidence=[weighted()]))
                for text in ("A ", "cat."):
                    yield response(turn_id=turn_id, token=pb.TokenChunk(text=text, token_count=1))
                yield response(turn_id=turn_id, citation=citation())
                yield response(turn_id=turn_id, turn_complete=turn_complete())
    yield response(summary=pb.ConverseSummary(turn_count=turns))


async def serve(gateway: FakeGateway) -> tuple[grpc.aio.Server, str]:
    """Start the fake on a free loopback port; the server and its address."""
    server = grpc.aio.server()
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(gateway, server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    await checks.set("sensorium.gateway.v1.GatewayService", health_pb2.HealthCheckResponse.SERVING)
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
