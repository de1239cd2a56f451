"""A conversation over a WebSocket, as a browser holds it."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sensorium_client.samples import Samples
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from services.gateway.http.frames import FRAME_BYTES_MAX
from tests.pipeline.platform import Platform

PIECE_BYTES = 10_000
Event = dict[str, Any]


def opened(platform: Platform) -> AbstractAsyncContextManager[ClientConnection]:
    return connect(
        f"{platform.http_url.replace('http', 'ws', 1)}/v1/converse",
        subprotocols=[Subprotocol("sensorium.converse.v1")],
        max_size=None,
    )


async def say(socket: ClientConnection, **message: object) -> None:
    await socket.send(json.dumps(message))


def upload(path: Path, asset_id: str) -> list[str | bytes]:
    """The frames that bring a file."""
    data = path.read_bytes()
    start = {"turnId": "t", "assetStart": {"assetId": asset_id, "name": path.name}}
    finish = {"turnId": "t", "assetFinish": {"assetId": asset_id, "sizeBytes": str(len(data))}}
    pieces = [data[begin : begin + PIECE_BYTES] for begin in range(0, len(data), PIECE_BYTES)]
    return [json.dumps(start), *pieces, json.dumps(finish)]


def kind(event: Event) -> str:
    return next(name for name in event if name != "turnId")


async def read_to_the_end(socket: ClientConnection) -> tuple[list[Event], int, str]:
    """All events that still come, and the close code with its reason."""
    events: list[Event] = []
    try:
        async with asyncio.timeout(60.0):
            while True:
                events.append(json.loads(await socket.recv()))
    except ConnectionClosed as closed:
        assert closed.rcvd
        return events, closed.rcvd.code, closed.rcvd.reason


async def test_bytes_and_a_question_go_in_and_tokens_come_out(
    platform: Platform, samples: Samples
) -> None:
    async with opened(platform) as socket:
        assert socket.subprotocol == "sensorium.converse.v1"
        await say(socket, config={"answer": {"maxTokens": 24}})
        await say(socket, turnId="t", text={"text": "What animal is this?"})
        for frame in upload(samples.photo, "socket-photo"):
            await socket.send(frame)
        await say(socket, turnId="t", endTurn={})
        await socket.send("")
        events, code, reason = await read_to_the_end(socket)
    assert (code, reason) == (1000, "")
    kinds = [kind(event) for event in events]
    assert kinds[0] == "ready"
    assert kinds[-1] == "summary"
    assert {"assetInfo", "asset", "evidence", "citation", "assetIndexed"} <= set(kinds)
    assert len(events[0]["ready"]["traceId"]) == 32
    answer = "".join(event["token"]["text"] for event in events if "token" in event)
    assert "cat" in answer
    (complete,) = [event["turnComplete"] for event in events if "turnComplete" in event]
    assert complete["usage"]["mediaBytes"] == str(samples.photo.stat().st_size)


@pytest.mark.parametrize(
    ("frames", "code", "reason"),
    [
        (["{"], 1007, "MESSAGE_MALFORMED"),
        (['{"config": {}}', '{"turnId": 3'], 1007, "MESSAGE_MALFORMED"),
        (['{"turnId": "t", "endTurn": {}}'], 1008, "CONFIG_EXPECTED"),
        (['{"config": {}}', b"bytes of nothing"], 1008, "ASSET_NOT_STARTED"),
        (['{"config": {}}', '{"turnId": "t", "endTurn": {}}'], 1008, "QUESTION_MISSING"),
        ([""], 1008, "CONFIG_EXPECTED"),
    ],
)
async def test_an_error_is_told_before_the_socket_closes(
    platform: Platform, frames: list[str | bytes], code: int, reason: str
) -> None:
    async with opened(platform) as socket:
        for frame in frames:
            await socket.send(frame)
        events, closed_with, closed_because = await read_to_the_end(socket)
    assert events[-1]["error"]["reason"] == reason
    assert events[-1]["error"]["message"]
    assert (closed_with, closed_because) == (code, reason)


async def test_a_client_that_still_sends_hears_of_the_error(platform: Platform) -> None:
    async with opened(platform) as socket:
        await say(socket, config={})
        await say(socket, turnId="t", assetStart={"assetId": "socket-junk", "name": "a.jpg"})
        events: list[Event] = []

        async def send() -> None:
            while True:
                await socket.send(b"\x01\x02" * 20_000)

        sending = asyncio.create_task(send())
        events, code, reason = await read_to_the_end(socket)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert events[-1]["error"]["reason"] == reason
    assert code == 1008
    await platform.at_rest(10.0)


async def test_a_frame_past_the_cap_closes_the_socket(platform: Platform) -> None:
    async with opened(platform) as socket:
        await say(socket, config={})
        assert kind(json.loads(await socket.recv())) == "ready"
        await socket.send(bytes(FRAME_BYTES_MAX + 1))
        _, code, _ = await read_to_the_end(socket)
    assert code == 1009


async def test_a_browser_that_goes_away_cancels_its_turn(
    platform: Platform, samples: Samples
) -> None:
    async with opened(platform) as socket:
        await say(socket, config={"answer": {"maxTokens": 1500}})
        for frame in upload(samples.film, "socket-film"):
            await socket.send(frame)
        await say(socket, turnId="t", text={"text": "Write a very long story about this."})
        await say(socket, turnId="t", endTurn={})
        async with asyncio.timeout(60.0):
            while kind(json.loads(await socket.recv())) != "token":
                pass
        assert await platform.busy()
    await platform.at_rest(10.0)


async def test_after_a_lost_connection_its_conversation_goes_on(
    platform: Platform, web: httpx2.AsyncClient, samples: Samples
) -> None:
    conversation_id = (await web.post("/v1/conversations")).json()["id"]
    config = {"conversationId": conversation_id}
    async with opened(platform) as socket:
        await say(socket, config=config)
        for frame in upload(samples.photo, "socket-lost"):
            await socket.send(frame)
        await say(socket, turnId="t", text={"text": "What animal is this?"})
        async with asyncio.timeout(60.0):
            while kind(json.loads(await socket.recv())) != "asset":
                pass
        # Without a word, in the middle of its turn.
        socket.transport.abort()
    await platform.at_rest(10.0)
    async with opened(platform) as socket:
        await say(socket, config=config)
        await say(socket, turnId="t", text={"text": "What animal is this?"})
        await say(socket, turnId="t", endTurn={"assetIds": ["socket-lost"]})
        await socket.send("")
        events, code, reason = await read_to_the_end(socket)
    assert (code, reason) == (1000, "")
    assert any("citation" in event for event in events)


async def test_a_turn_is_cancelled_and_the_next_one_answered(platform: Platform) -> None:
    async with opened(platform) as socket:
        await say(socket, config={"answer": {"maxTokens": 400}})
        await say(socket, turnId="1", text={"text": "Write a very long story about the sea."})
        await say(socket, turnId="1", endTurn={})
        async with asyncio.timeout(60.0):
            while kind(json.loads(await socket.recv())) != "token":
                pass
        await say(socket, turnId="1", cancelTurn={})
        async with asyncio.timeout(10.0):
            while "turnComplete" not in (event := json.loads(await socket.recv())):
                pass
        assert event["turnComplete"]["finishReason"] == "TURN_FINISH_REASON_CANCELLED"
        await say(socket, turnId="2", text={"text": "Say yes."})
        await say(socket, turnId="2", endTurn={})
        await socket.send("")
        events, code, _ = await read_to_the_end(socket)
    assert code == 1000
    assert any("token" in event for event in events if event.get("turnId") == "2")
