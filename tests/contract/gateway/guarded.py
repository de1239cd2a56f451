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

from services.gateway.access.keys import KeyGrant, KeyStore
from services.gateway.database.engine import Database
from services.runtime.settings import Settings
from tests.contract.gateway.whole import serve_gateway
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
    async with serve_gateway(folder, auth="required", **changes) as gateway:
        database = Database(gateway.settings)
        yield Guarded(gateway.settings, gateway.http_url, KeyStore(database))
        await database.close()


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
