"""Stubs of the five stages: the only addresses that the gateway knows."""

import asyncio
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sensorium.encode.v1.encode_pb2_grpc import EncodeServiceStub
from sensorium.fuse.v1.fuse_pb2_grpc import FuseServiceStub
from sensorium.generate.v1.generate_pb2_grpc import GenerateServiceStub
from sensorium.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from sensorium.search.v1.search_pb2_grpc import SearchServiceStub

from services.runtime.channel import open_channel
from services.runtime.settings import Settings
from services.runtime.tls import stage_tls

SERVICES = {
    stage: f"sensorium.{stage}.v1.{stage.capitalize()}Service"
    for stage in ("ingest", "encode", "fuse", "generate", "search")
}


@dataclass(frozen=True, slots=True)
class Stages:
    """One stub a stage, each on a channel of its own."""

    ingest: IngestServiceStub
    encode: EncodeServiceStub
    fuse: FuseServiceStub
    generate: GenerateServiceStub
    search: SearchServiceStub
    channels: tuple[grpc.aio.Channel, ...]

    async def close(self) -> None:
        """Close the channels; open calls are cancelled."""
        for channel in self.channels:
            await channel.close()


def connect(settings: Settings) -> Stages:
    """Channels to the addresses of the settings; nothing is dialled before the first call.

    Raises InvalidInput TLS_SETTING_MISSING, TLS_FILES_INVALID.
    """
    tls = stage_tls(settings)
    credentials = tls.channel_credentials() if tls else None

    def channel(address: str) -> grpc.aio.Channel:
        return open_channel(
            address or f"127.0.0.1:{settings.port}",
            settings.connection_window_bytes,
            credentials=credentials,
        )

    ingest, encode = channel(settings.ingest_address), channel(settings.encode_address)
    fuse, generate = channel(settings.fuse_address), channel(settings.generate_address)
    search = channel(settings.search_address)
    return Stages(
        ingest=IngestServiceStub(ingest),
        encode=EncodeServiceStub(encode),
        fuse=FuseServiceStub(fuse),
        generate=GenerateServiceStub(generate),
        search=SearchServiceStub(search),
        channels=(ingest, encode, fuse, generate, search),
    )


async def wait_until_serving(stages: Stages) -> None:
    """Wait until every stage says that it serves, however long that takes."""

    async def wait(service: str, channel: grpc.aio.Channel) -> None:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=service), wait_for_ready=True
        )
        async for state in watch:
            if state.status == health_pb2.HealthCheckResponse.SERVING:
                watch.cancel()
                return

    services = SERVICES.values()
    pairs = zip(services, stages.channels, strict=True)
    await asyncio.gather(*(wait(service, channel) for service, channel in pairs))
