"""What requests took is written down, and told to those whom it concerns."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import av
import grpc
import httpx2
import pytest
import sensorium_client
from google.protobuf.timestamp_pb2 import Timestamp
from sensorium.gateway.v1 import gateway_pb2, usage_pb2

from services.gateway.access.keys import KeyGrant, KeyStore
from services.gateway.access.scopes import Scope
from services.gateway.database.engine import Database
from services.runtime.durations import to_seconds
from services.runtime.priority import Priority
from tests.contract.gateway.whole import (
    ANSWER_TOKENS,
    CACHED_TOKENS,
    PROMPT_TOKENS,
    Gateway,
    refusal_of,
    sent_file,
    serve_gateway,
)
from tests.harness import make_settings

SPEECH = Path(sensorium_client.__file__).parent / "samples" / "speech.ogg"
PRICES = '{"currency": "EUR", "request": 0.5, "million_completion_tokens": 2}'
ASKED_MICROS = 500_000 + 2 * ANSWER_TOKENS
Metadata = tuple[tuple[str, str], ...]


def container_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        assert container.duration is not None
        return float(container.duration / av.time_base)


async def usage(
    gateway: Gateway, metadata: Metadata = (), **fields: object
) -> dict[str, usage_pb2.UsageTotal]:
    """What was used, by its key."""
    request = usage_pb2.GetUsageRequest(**fields)  # type: ignore[arg-type]
    response = await gateway.stub.GetUsage(request, metadata=metadata)
    return {total.key: total for total in response.totals}


async def keys_of(folder: Path, grants: Iterable[KeyGrant]) -> list[tuple[str, Metadata]]:
    """The id of a new key for each grant, and the metadata that shows the key."""
    database = Database(make_settings(folder))
    await database.open()
    made = [await KeyStore(database).create(grant) for grant in grants]
    await database.close()
    return [(record.key_id, (("authorization", f"Bearer {key}"),)) for record, key in made]


async def test_totals_are_what_the_events_of_the_stream_said(tmp_path: Path) -> None:
    async with serve_gateway(tmp_path) as gateway:
        call = gateway.stub.StreamingConverse()
        request = gateway_pb2.StreamingConverseRequest
        await call.write(request(config=gateway_pb2.ConverseConfig()))
        for turn in ("1", "2"):
            for fields in sent_file(f"file-{turn}", f"A cat sat. {turn}".encode() * 999):
                await call.write(request(turn_id=turn, **fields))
            text = gateway_pb2.TextChunk(text="What is it?")
            await call.write(request(turn_id=turn, text=text))
            await call.write(request(turn_id=turn, end_turn=gateway_pb2.EndTurn()))
            async for event in call:
                if event.WhichOneof("event") == "turn_complete":
                    break
        await call.done_writing()
        said = [event async for event in call][-1].summary.usage
        assert (said.prompt_token_count, said.cached_token_count, said.completion_token_count) == (
            2 * PROMPT_TOKENS,
            2 * CACHED_TOKENS,
            2 * ANSWER_TOKENS,
        )
        (total,) = (await usage(gateway)).values()
        for field in said.DESCRIPTOR.fields:
            assert getattr(total, field.name) == getattr(said, field.name), field.name
        assert said.media_bytes and said.segment_count
        assert total.key == datetime.now(UTC).date().isoformat()
        assert (total.request_count, total.failed_count) == (1, 0)


async def test_sound_counts_by_its_length_when_it_comes_and_when_it_is_written_out(
    tmp_path: Path,
) -> None:
    data = SPEECH.read_bytes()
    async with serve_gateway(tmp_path) as gateway:
        request = gateway_pb2.StreamingUploadRequest
        sent = [request(config=gateway_pb2.UploadConfig())]
        sent += [request(**fields) for fields in sent_file("speech", data, ".ogg")]
        events = [event async for event in gateway.stub.StreamingUpload(iter(sent))]
        assert events[-1].summary.asset_count == 1
        (total,) = (await usage(gateway)).values()
        uploaded_s = to_seconds(total.media_duration)
        assert uploaded_s == pytest.approx(container_seconds(SPEECH), abs=0.5)
        assert total.media_bytes == len(data)
        words = gateway.stub.Transcribe(gateway_pb2.TranscribeRequest(asset_id="speech"))
        assert [word async for word in words]
        (total,) = (await usage(gateway)).values()
        assert to_seconds(total.media_duration) == pytest.approx(2 * uploaded_s, abs=0.5)


async def test_records_outlive_the_server(tmp_path: Path) -> None:
    async with serve_gateway(tmp_path) as gateway:
        await gateway.ask()
    async with serve_gateway(tmp_path) as gateway:
        (total,) = (await usage(gateway)).values()
        assert total.completion_token_count == ANSWER_TOKENS


async def test_failures_count(tmp_path: Path) -> None:
    async with serve_gateway(tmp_path) as gateway:
        with pytest.raises(grpc.aio.AioRpcError):
            await gateway.ask("")
        await gateway.ask()
        (total,) = (await usage(gateway)).values()
        assert (total.request_count, total.failed_count) == (2, 1)
        assert total.prompt_token_count == PROMPT_TOKENS


async def test_whoever_cancels_pays_for_what_was_read_and_what_came(tmp_path: Path) -> None:
    limits = tmp_path / "limits.json"
    limits.write_text(json.dumps({"default": {"tokens": {"day": PROMPT_TOKENS + 1}}}))
    async with serve_gateway(tmp_path, limits_file=limits) as gateway:
        gateway.generator.gate.clear()
        call = gateway.stub.Ask(gateway_pb2.AskRequest(question="What is it?"))
        async for event in call:
            if event.WhichOneof("event") == "token":
                call.cancel()
                break
        total = usage_pb2.UsageTotal()
        while not total.request_count:
            total = next(iter((await usage(gateway)).values()), total)
        assert (total.failed_count, total.completion_token_count) == (1, 1)
        assert total.prompt_token_count == PROMPT_TOKENS
        assert total.cached_token_count == CACHED_TOKENS
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gateway.ask()
        assert refusal_of(refused.value).subject == "tokens/day"


async def test_whoever_cancels_a_turn_of_a_stream_pays_for_it(tmp_path: Path) -> None:
    async with serve_gateway(tmp_path) as gateway:
        gateway.generator.gate.clear()
        call = gateway.stub.StreamingConverse()
        request = gateway_pb2.StreamingConverseRequest
        await call.write(request(config=gateway_pb2.ConverseConfig()))
        await call.write(request(turn_id="1", text=gateway_pb2.TextChunk(text="What is it?")))
        await call.write(request(turn_id="1", end_turn=gateway_pb2.EndTurn()))
        async for event in call:
            if event.WhichOneof("event") == "token":
                await call.write(request(turn_id="1", cancel_turn=gateway_pb2.CancelTurn()))
                await call.done_writing()
        (total,) = (await usage(gateway)).values()
        assert (total.failed_count, total.completion_token_count) == (0, 1)
        assert total.prompt_token_count == PROMPT_TOKENS


async def test_a_tenant_sees_its_own_usage_and_who_operates_that_of_all(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(PRICES)
    (one_id, one), (other_id, other), (_, operator) = await keys_of(
        tmp_path,
        (
            KeyGrant("one"),
            KeyGrant("other", scopes=frozenset(Scope) - {Scope.OPERATE}),
            KeyGrant("host", scopes=frozenset({Scope.OPERATE})),
        ),
    )
    async with serve_gateway(tmp_path, auth="required", prices_file=prices) as gateway:
        await gateway.ask(metadata=one)
        await gateway.ask(metadata=one)
        await gateway.ask(metadata=other)
        by_key = await usage(gateway, one, grouping=usage_pb2.USAGE_GROUPING_CREDENTIAL)
        assert {key: total.cost_micros for key, total in by_key.items()} == {
            one_id: 2 * ASKED_MICROS
        }
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await usage(gateway, other, all_tenants=True)
        assert refusal_of(refused.value).reason == "SCOPE_MISSING"
        by_tenant = await usage(
            gateway, operator, all_tenants=True, grouping=usage_pb2.USAGE_GROUPING_TENANT
        )
        assert [*by_tenant][:2] == ["one", "other"], "what costs most comes first"
        assert by_tenant["other"].completion_token_count == ANSWER_TOKENS
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gateway.ask(metadata=operator)
        assert refusal_of(refused.value).reason == "SCOPE_MISSING"
        later = Timestamp(seconds=int(datetime.now(UTC).timestamp()) + 60)
        assert not await usage(gateway, operator, all_tenants=True, since=later)
        assert other_id != one_id


async def test_http_tells_the_same(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(PRICES)
    async with serve_gateway(tmp_path, prices_file=prices) as gateway:
        await gateway.ask()
        async with httpx2.AsyncClient(base_url=gateway.http_url) as http:
            query = {"group_by": "tenant", "since": "2026-01-01"}
            told = (await http.get("/v1/usage", params=query)).json()
            malformed = await http.get("/v1/usage", params={"group_by": "planet"})
            for since in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
                assert (await http.get("/v1/usage", params={"since": since})).status_code == 200
        assert told["currency"] == "EUR"
        (total,) = told["data"]
        assert (total["key"], total["requests"], total["failed"]) == ("default", 1, 0)
        assert total["completion_tokens"] == ANSWER_TOKENS
        assert total["cost"] == ASKED_MICROS / 1e6
        assert malformed.status_code == 400


async def test_the_class_of_a_credential_reaches_the_stages(tmp_path: Path) -> None:
    (_, bulk), (_, high) = await keys_of(
        tmp_path,
        (KeyGrant("one", priority=Priority.BULK), KeyGrant("one", priority=Priority.HIGH)),
    )
    async with serve_gateway(tmp_path, auth="required") as gateway:
        await gateway.ask(metadata=bulk)
        await gateway.ask(metadata=high)
        await gateway.ask(metadata=(*high, ("sensorium-priority", "normal")))
        assert gateway.generator.priorities == [Priority.BULK, Priority.HIGH, Priority.NORMAL]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await gateway.ask(metadata=(*bulk, ("sensorium-priority", "normal")))
        assert refusal_of(refused.value).reason == "PRIORITY_TOO_HIGH"
