"""A whole gateway, HTTP included, in front of real stages; only the models are fakes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from sensorium.generate.v1 import generate_pb2, generate_pb2_grpc
from sensorium.media.v1 import upload_pb2

from services.gateway.admission import Admission
from services.gateway.http.server import HttpServer
from services.gateway.stage import assemble
from services.host import builders
from services.runtime.calls import priority_of
from services.runtime.durations import to_seconds
from services.runtime.priority import Priority
from services.runtime.server import Stage
from services.runtime.settings import Settings
from tests.fakes import FakeEncoder
from tests.harness import make_settings, serve_all

if TYPE_CHECKING:
    from sensorium.gateway.v1.gateway_pb2_grpc import GatewayServiceAsyncStub

PROMPT_TOKENS, CACHED_TOKENS, ANSWER = 7, 2, ("A", " cat", ".")
ANSWER_TOKENS = len(ANSWER)
CHUNK_BYTES = 64 << 10


class FakeGenerator(generate_pb2_grpc.GenerateServiceServicer):
    """Answers every question alike; clear ``gate`` to hold answers after their first token."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = asyncio.Semaphore(0)
        self.priorities: list[Priority] = []

    async def StreamingGenerate(
        self, requests: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[generate_pb2.StreamingGenerateResponse]:
        """See the contract."""
        response = generate_pb2.StreamingGenerateResponse
        self.priorities.append(priority_of(context))
        yield response(ready=generate_pb2.StreamReady())
        async for request in requests:
            if request.WhichOneof("message") == "start":
                break
        for count in (CACHED_TOKENS, PROMPT_TOKENS):
            read = generate_pb2.PromptRead(token_count=count, cached_token_count=CACHED_TOKENS)
            yield response(prompt_read=read)
        self.started.release()
        for index, text in enumerate(ANSWER):
            if index:
                await self.gate.wait()
            yield response(token=generate_pb2.TokenChunk(text=text, token_count=1))
        usage = generate_pb2.Usage(
            prompt_token_count=PROMPT_TOKENS,
            cached_token_count=CACHED_TOKENS,
            completion_token_count=ANSWER_TOKENS,
        )
        reason = generate_pb2.FINISH_REASON_STOP
        yield response(complete=generate_pb2.Complete(finish_reason=reason, usage=usage))
        yield response(summary=generate_pb2.GenerateSummary())

    async def ReadAhead(
        self, request: generate_pb2.ReadAheadRequest, context: Any
    ) -> generate_pb2.ReadAheadResponse:
        """See the contract: as if all slots were wanted."""
        return generate_pb2.ReadAheadResponse(token_count=PROMPT_TOKENS)

    def stage(self, settings: Settings) -> Stage:
        """The stage around it."""

        async def nothing() -> None:
            """There is nothing to load and nothing to free."""

        return Stage(
            "generate",
            "sensorium.generate.v1.GenerateService",
            lambda server: generate_pb2_grpc.add_GenerateServiceServicer_to_server(self, server),
            nothing,
            nothing,
        )


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    stub: "GatewayServiceAsyncStub"
    http_url: str
    generator: FakeGenerator
    settings: Settings

    async def ask(self, question: str = "What is it?", **call: Any) -> gateway_pb2.TurnComplete:
        """Ask to the end. Raises AioRpcError."""
        request = gateway_pb2.AskRequest(question=question)
        events = [event async for event in self.stub.Ask(request, **call)]
        return events[-1].turn_complete

    async def list_assets(self, **call: Any) -> list[str]:
        """Ids of all that is stored. Raises AioRpcError."""
        page = await self.stub.ListAssets(gateway_pb2.ListAssetsRequest(), **call)
        return [asset.info.asset_id for asset in page.assets]


@contextlib.asynccontextmanager
async def serve_gateway(folder: Path, **changes: object) -> AsyncIterator[Gateway]:
    """A gateway that keeps its data under ``folder``, with settings of its own."""
    settings = make_settings(folder, **changes)
    generator = FakeGenerator()
    http = HttpServer(settings)
    hosted = {name: builders()[name] for name in ("ingest", "fuse", "search")}
    hosted["encode"] = FakeEncoder().stage
    hosted["generate"] = generator.stage
    hosted["gateway"] = lambda effective: assemble(effective, Admission(effective.turns_max), http)
    async with serve_all(hosted, settings) as (channel, effective):
        stub = gateway_pb2_grpc.GatewayServiceStub(channel)
        yield Gateway(stub, http.url, generator, effective)


@dataclass(frozen=True)
class Refusal:
    """What a refused call was told."""

    code: grpc.StatusCode
    reason: str
    subject: str
    retry_after_s: float


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """What the status of a call says: code, ErrorInfo, QuotaFailure and RetryInfo."""
    info, quota = error_details_pb2.ErrorInfo(), error_details_pb2.QuotaFailure()
    retry = error_details_pb2.RetryInfo()
    status = rpc_status.from_call(error)
    details: tuple[Message, ...] = (info, quota, retry)
    for packed in status.details:
        for detail in details:
            if packed.Is(detail.DESCRIPTOR):
                packed.Unpack(detail)
    subject = quota.violations[0].subject if quota.violations else ""
    return Refusal(error.code(), info.reason, subject, to_seconds(retry.retry_delay))


def sent_file(asset_id: str, data: bytes, ending: str = ".txt") -> list[dict[str, Any]]:
    """The messages that send a file of such a name, as fields of a request of any stream."""
    start = upload_pb2.AssetStart(asset_id=asset_id, name=f"{asset_id}{ending}")
    finish = upload_pb2.AssetFinish(asset_id=asset_id, size_bytes=len(data))
    chunks = [
        {
            "chunk": upload_pb2.MediaChunk(
                asset_id=asset_id, offset=at, data=data[at : at + CHUNK_BYTES]
            )
        }
        for at in range(0, len(data), CHUNK_BYTES)
    ]
    return [{"asset_start": start}, *chunks, {"asset_finish": finish}]
