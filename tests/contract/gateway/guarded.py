"""A gateway that asks for credentials, before real stages; only the models are fakes."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import message_factory
from google.protobuf.message import Message
from sensorium.gateway.v1 import gateway_pb2
from sensorium.generate.v1 import generate_pb2, generate_pb2_grpc

from services.gateway.access.keys import KeyGrant, KeyStore
from services.gateway.admission import Admission
from services.gateway.database.engine import Database
from services.gateway.http.server import HttpServer
from services.gateway.stage import assemble
from services.gateway.stages import SERVICES
from services.host import builders
from services.runtime.server import BuildStage, Stage
from services.runtime.settings import Settings
from tests.fakes import FakeEncoder
from tests.harness import make_settings, serve_all
from tests.pipeline.streams import Told, told_by_status

METHODS = {
    method.name: method
    for method in gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"].methods
}


@dataclass(frozen=True)
class Guarded:
    """Where it listens, and who gives out its keys: as `sensorium keys` does, beside it."""

    settings: Settings
    http_url: str
    keys: KeyStore = field(repr=False)

    @property
    def address(self) -> str:
        """host:port of gRPC."""
        return f"127.0.0.1:{self.settings.port}"

    async def key(self, tenant_id: str, **grant: Any) -> str:
        """A new key."""
        return (await self.keys.create(KeyGrant(tenant_id, **grant)))[1]


@contextlib.asynccontextmanager
async def serve_guarded(folder: Path, **changes: object) -> AsyncIterator[Guarded]:
    """Host one on free ports."""
    settings = make_settings(folder, auth="required", **changes)
    http = HttpServer(settings)
    hosted: dict[str, BuildStage] = {
        name: builders()[name] for name in ("ingest", "fuse", "search")
    }
    hosted["encode"] = FakeEncoder().stage
    hosted["generate"] = lambda _: _silent_generate()
    hosted["gateway"] = lambda settings: assemble(settings, Admission(settings.turns_max), http)
    database = Database(settings)
    async with serve_all(hosted, settings) as (_, effective):
        yield Guarded(effective, http.url, KeyStore(database))
    await database.close()


class _SilentGenerate(generate_pb2_grpc.GenerateServiceServicer):
    """Listens, and never says a word."""

    async def StreamingGenerate(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        """See the contract."""
        yield generate_pb2.StreamingGenerateResponse(ready=generate_pb2.StreamReady())
        async for _ in requests:
            pass


def _silent_generate() -> Stage:
    async def nothing() -> None:
        """There is no model."""

    return Stage(
        name="generate",
        service_name=SERVICES["generate"],
        register=lambda server: generate_pb2_grpc.add_GenerateServiceServicer_to_server(
            _SilentGenerate(), server
        ),
        start=nothing,
        stop=nothing,
    )


def bearer(key: str, **more: str) -> tuple[tuple[str, str], ...]:
    """What a call carries to show a key."""
    return (("authorization", f"Bearer {key}"), *more.items())


@dataclass(frozen=True)
class Answer:
    """What came back of a call, and how it failed."""

    messages: list[Any]
    refused: Told | None = None


async def call(
    stub: Any, method: str, requests: Iterable[Message], metadata: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """Make any call of the gateway."""
    described, opened = METHODS[method], getattr(stub, method)

    async def send() -> AsyncIterator[Message]:
        for request in requests:
            yield request

    messages: list[Any] = []
    try:
        sent = send() if described.client_streaming else next(iter(requests))
        if described.server_streaming:
            async for message in opened(sent, metadata=metadata):
                messages.append(message)
        else:
            messages.append(await opened(sent, metadata=metadata))
    except grpc.aio.AioRpcError as error:
        return Answer(messages, told_by_status(error))
    return Answer(messages)


def empty_request(method: str) -> Message:
    """A request of the type that a call takes."""
    return message_factory.GetMessageClass(METHODS[method].input_type)()
