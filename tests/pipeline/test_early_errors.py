"""An early error reaches a client that is still writing: 30 times of 30, in band and by status."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from sensorium_client import Client
from sensorium_client.errors import SensoriumClientError
from sensorium_client.options import AskOptions

from tests.pipeline.platform import Platform
from tests.pipeline.streams import (
    Converse,
    Told,
    Upload,
    chunks,
    config,
    exchange,
    in_turn,
    in_upload,
    text,
    told_by_status,
)

MANY_TIMES = 30


def endless(first: Any, parts: Callable[[], Iterable[Any]]) -> Iterable[Any]:
    """A config, then messages without end."""
    yield first
    while True:
        yield from parts()


def bad_turn() -> list[Any]:
    return in_turn(chunks("a", bytes(BURST_BYTES)))


BURST_BYTES = 1 << 20
EARLY: dict[str, tuple[str, Callable[[], Iterable[Any]], str]] = {
    "converse-second-config": (
        "StreamingConverse",
        lambda: endless(config(), lambda: [config(), *bad_turn()]),
        "CONFIG_REPEATED",
    ),
    "converse-refused-by-ingest": (
        "StreamingConverse",
        lambda: endless(config(), lambda: [text("?"), *bad_turn()]),
        "ASSET_NOT_STARTED",
    ),
    "converse-refused-by-generate": (
        "StreamingConverse",
        lambda: endless(config(model="gpt-9"), lambda: [text("?")]),
        "UNKNOWN_MODEL",
    ),
    "upload-refused-by-ingest": (
        "StreamingUpload",
        lambda: endless(
            Upload(config=gateway_pb2.UploadConfig()),
            lambda: in_upload(chunks("a", bytes(BURST_BYTES))),
        ),
        "ASSET_NOT_STARTED",
    ),
}


@pytest.mark.parametrize("case", EARLY)
async def test_an_early_error_reaches_a_client_that_is_still_writing(stub: Any, case: str) -> None:
    method, requests, reason = EARLY[case]
    outcomes = [await exchange(getattr(stub, method)(), requests()) for _ in range(MANY_TIMES)]
    assert [outcome.error.reason for outcome in outcomes] == [reason] * MANY_TIMES


async def test_an_early_error_reaches_our_client_with_its_reason(
    client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(bytes(4 * BURST_BYTES))
    reasons = []
    for _ in range(MANY_TIMES):
        with pytest.raises(SensoriumClientError) as caught:
            async for _ in client.ask("?", [path], options=AskOptions(model="gpt-9")):
                pass
        reasons.append(caught.value.reason)
    assert reasons == ["UNKNOWN_MODEL"] * MANY_TIMES


async def test_an_early_error_reaches_a_client_that_never_stops_writing(platform: Platform) -> None:
    """It writes on until the stream is closed in its face, and still learns the reason."""

    def stubborn(_: int) -> Told:
        def requests() -> Iterator[Converse]:
            yield config(model="gpt-9")
            while True:
                time.sleep(0.005)
                yield text("?")

        with grpc.insecure_channel(platform.address) as channel:
            call = gateway_pb2_grpc.GatewayServiceStub(channel).StreamingConverse(requests())
            with pytest.raises(grpc.RpcError) as caught:
                list(call)
        return told_by_status(caught.value)

    with ThreadPoolExecutor(MANY_TIMES) as threads:
        told = await asyncio.to_thread(lambda: list(threads.map(stubborn, range(MANY_TIMES))))
    assert [one.reason for one in told] == ["UNKNOWN_MODEL"] * MANY_TIMES
