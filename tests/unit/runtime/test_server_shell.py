"""The shell around every handler, over a real channel, with a scripted stage."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sensorium.fuse.v1 import fuse_pb2, fuse_pb2_grpc

from services.runtime.calls import CallScope, call_stage
from services.runtime.channel import open_channel
from services.runtime.errors import InvalidInput, Overloaded, SensoriumError, Unavailable
from services.runtime.server import Stage, StageServer, hosting
from services.runtime.settings import Settings
from services.runtime.streams import open_stream
from tests.harness import make_settings, serve_stage

Requests = AsyncIterator[fuse_pb2.StreamingFuseRequest]
Events = AsyncIterator[fuse_pb2.StreamingFuseResponse]


class ScriptedFuse(fuse_pb2_grpc.FuseServiceServicer):
    """Does what the question of ``finish`` tells it to."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def StreamingFuse(self, requests: Requests, context: object) -> Events:
        try:
            config, messages = await open_stream(requests)
            yield fuse_pb2.StreamingFuseResponse(
                ready=fuse_pb2.StreamReady(effective_config=config)
            )
            async for message in messages:
                order = message.finish.question
                if order == "refuse":
                    raise InvalidInput("REFUSED", "As ordered.", subject="question")
                if order == "overload":
                    raise Overloaded("BUSY", "Later.", retry_after_s=2.5)
                if order == "crash":
                    raise ZeroDivisionError("secret detail")
            yield fuse_pb2.StreamingFuseResponse(summary=fuse_pb2.FuseSummary())
        finally:
            self.closed.set()


async def nothing() -> None:
    """Nothing to start or stop."""


def scripted_stage(servicer: ScriptedFuse) -> Stage:
    return Stage(
        name="fuse",
        service_name="sensorium.fuse.v1.FuseService",
        register=lambda server: fuse_pb2_grpc.add_FuseServiceServicer_to_server(servicer, server),
        start=nothing,
        stop=nothing,
    )


CONFIG = fuse_pb2.StreamingFuseRequest(config=fuse_pb2.FuseConfig())
FILLER = fuse_pb2.StreamingFuseRequest(
    observation={"observation_id": "x" * 60_000}  # type: ignore[arg-type]
)


def order(question: str) -> fuse_pb2.StreamingFuseRequest:
    return fuse_pb2.StreamingFuseRequest(finish=fuse_pb2.FuseFinish(question=question))


@pytest.fixture
async def servicer() -> ScriptedFuse:
    return ScriptedFuse()


@pytest.fixture
async def channel(servicer: ScriptedFuse) -> AsyncIterator[grpc.aio.Channel]:
    async with serve_stage(scripted_stage(servicer)) as channel:
        yield channel


async def test_early_error_reaches_a_client_that_is_still_writing_every_time(
    channel: grpc.aio.Channel,
) -> None:
    stub = fuse_pb2_grpc.FuseServiceStub(channel)

    async def write_on(stream: object) -> None:
        while True:
            await stream.send(FILLER)  # type: ignore[attr-defined]

    for _ in range(30):
        async with call_stage(stub.StreamingFuse, CallScope()) as stream:
            await stream.send(CONFIG)
            await stream.send(order("refuse"))
            writer = asyncio.ensure_future(write_on(stream))
            with pytest.raises(InvalidInput) as caught:
                async for _ in stream:
                    pass
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        assert caught.value.reason == "REFUSED"
        assert caught.value.subject == "question"


async def test_raw_client_gets_event_then_the_same_status(channel: grpc.aio.Channel) -> None:
    call: Any = fuse_pb2_grpc.FuseServiceStub(channel).StreamingFuse()
    for request in (CONFIG, order("overload")):
        await call.write(request)
    events = [await call.read(), await call.read()]
    assert [event.WhichOneof("event") for event in events] == ["ready", "error"]
    assert events[1].error.reason == "BUSY"
    assert events[1].error.retry_delay.ToMilliseconds() == 2500
    await call.done_writing()
    assert await call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    keys = [key for key, _ in await call.trailing_metadata()]
    assert "grpc-status-details-bin" in keys


async def test_a_crash_tells_no_detail(channel: grpc.aio.Channel) -> None:
    stub = fuse_pb2_grpc.FuseServiceStub(channel)
    async with call_stage(stub.StreamingFuse, CallScope()) as stream:
        await stream.send(CONFIG)
        await stream.send(order("crash"))
        with pytest.raises(SensoriumError) as caught:
            async for _ in stream:
                pass
    assert caught.value.reason == "INTERNAL"
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([order("refuse")], "CONFIG_EXPECTED"),
        ([CONFIG, CONFIG], "CONFIG_REPEATED"),
        ([CONFIG, fuse_pb2.StreamingFuseRequest()], "EMPTY_MESSAGE"),
        ([], "CONFIG_EXPECTED"),
    ],
)
async def test_protocol_errors_are_typed(
    channel: grpc.aio.Channel, messages: list[fuse_pb2.StreamingFuseRequest], reason: str
) -> None:
    stub = fuse_pb2_grpc.FuseServiceStub(channel)
    async with call_stage(stub.StreamingFuse, CallScope()) as stream:
        for message in messages:
            await stream.send(message)
        await stream.done_sending()
        with pytest.raises(InvalidInput) as caught:
            async for _ in stream:
                pass
    assert caught.value.reason == reason


async def test_cancel_closes_the_handler(channel: grpc.aio.Channel, servicer: ScriptedFuse) -> None:
    call: Any = fuse_pb2_grpc.FuseServiceStub(channel).StreamingFuse()
    await call.write(CONFIG)
    await call.read()
    call.cancel()
    await asyncio.wait_for(servicer.closed.wait(), 30)


async def test_calls_before_readiness_are_refused_with_a_hint(tmp_path: Path) -> None:
    release = asyncio.Event()
    stage = scripted_stage(ScriptedFuse())

    async def slow_start() -> None:
        await release.wait()

    slow = Stage(stage.name, stage.service_name, stage.register, slow_start, nothing)
    async with hosting({"fuse": lambda _: slow}, make_settings(tmp_path)) as (settings, servers):
        starting = asyncio.ensure_future(servers[0].start_stages())
        async with open_channel(f"127.0.0.1:{settings.port}") as channel:
            checks = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=stage.service_name)
            assert (
                await checks.Check(request)
            ).status == health_pb2.HealthCheckResponse.NOT_SERVING
            stub = fuse_pb2_grpc.FuseServiceStub(channel)
            async with call_stage(stub.StreamingFuse, CallScope()) as stream:
                with pytest.raises(Unavailable) as caught:
                    async for _ in stream:
                        pass
            assert caught.value.reason == "NOT_READY"
            release.set()
            await starting
            assert (await checks.Check(request)).status == health_pb2.HealthCheckResponse.SERVING


async def test_drain_sends_go_away_on_open_streams() -> None:
    server = StageServer("127.0.0.1:0", Settings(drain_grace_s=30))
    await server.open([scripted_stage(ScriptedFuse())])
    await server.start_stages()
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        call: Any = fuse_pb2_grpc.FuseServiceStub(channel).StreamingFuse()
        await call.write(CONFIG)
        assert (await call.read()).WhichOneof("event") == "ready"
        draining = asyncio.ensure_future(server.drain())
        assert (await call.read()).WhichOneof("event") == "go_away"
        await call.done_writing()
        assert (await call.read()).WhichOneof("event") == "summary"
        await draining
    await server.close()


async def test_a_taken_port_is_one_readable_error() -> None:
    first = StageServer("127.0.0.1:0", Settings())
    await first.open([])
    with pytest.raises(Unavailable) as caught:
        StageServer(f"127.0.0.1:{first.port}", Settings())
    assert caught.value.reason == "PORT_IN_USE"
    await first.close()


async def test_a_message_that_cannot_be_parsed_is_a_typed_error(
    channel: grpc.aio.Channel,
) -> None:
    raw: Any = channel.stream_stream(
        "/sensorium.fuse.v1.FuseService/StreamingFuse",
        request_serializer=bytes,
        response_deserializer=fuse_pb2.StreamingFuseResponse.FromString,
    )
    call = raw()
    await call.write(CONFIG.SerializeToString())
    assert (await call.read()).WhichOneof("event") == "ready"
    await call.write(b"\xff\xff\xff\xff")
    assert (await call.read()).error.reason == "MESSAGE_MALFORMED"
    await call.done_writing()
    assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_drain_does_not_wait_for_a_client_that_does_not_read() -> None:
    server = StageServer("127.0.0.1:0", Settings(drain_grace_s=0.1))
    await server.open([scripted_stage(ScriptedFuse())])
    await server.start_stages()
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        call: Any = fuse_pb2_grpc.FuseServiceStub(channel).StreamingFuse()
        await call.write(CONFIG)
        assert (await call.read()).WhichOneof("event") == "ready"
        await asyncio.wait_for(server.drain(), 10)
    await server.close()


async def test_what_comes_by_other_ways_is_drained_beside_the_streams() -> None:
    server = StageServer("127.0.0.1:0", Settings(drain_grace_s=30))
    begun, ended = asyncio.Event(), asyncio.Event()

    async def drain() -> None:
        begun.set()
        await ended.wait()

    await server.open([dataclasses.replace(scripted_stage(ScriptedFuse()), drain=drain)])
    await server.start_stages()
    async with open_channel(f"127.0.0.1:{server.port}") as channel:
        call: Any = fuse_pb2_grpc.FuseServiceStub(channel).StreamingFuse()
        await call.write(CONFIG)
        assert (await call.read()).WhichOneof("event") == "ready"
        draining = asyncio.ensure_future(server.drain())
        # Before the stream is told, and for longer than it lives.
        await asyncio.wait_for(begun.wait(), 20)
        assert (await call.read()).WhichOneof("event") == "go_away"
        await call.done_writing()
        assert (await call.read()).WhichOneof("event") == "summary"
        assert await call.read() is grpc.aio.EOF
        other: Any = fuse_pb2_grpc.FuseServiceStub(channel).StreamingFuse()
        await other.write(CONFIG)
        assert (await other.read()).WhichOneof("event") == "ready"
        assert not draining.done()
        other.cancel()
        ended.set()
        await draining
    await server.close()


async def test_a_gateway_must_know_where_each_stage_is(tmp_path: Path) -> None:
    stage = scripted_stage(ScriptedFuse())
    with pytest.raises(InvalidInput) as caught:
        async with hosting({"gateway": lambda _: stage}, make_settings(tmp_path)):
            pass
    assert caught.value.subject == "SENSORIUM_INGEST_ADDRESS"
