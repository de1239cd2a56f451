"""What of a connection reaches the door."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from starlette.requests import HTTPConnection

from services.gateway.access.entrance import Arrival, Entrance
from services.gateway.calls import GatewayCalls
from services.gateway.http.front import Front
from services.gateway.http.remote import RemoteFiles
from services.runtime.calls import CallScope
from services.runtime.settings import Settings


class Door(Entrance):
    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []

    @asynccontextmanager
    async def enter(self, arrival: Arrival) -> AsyncIterator[CallScope]:
        self.arrivals.append(arrival)
        yield CallScope()


def socket(*subprotocols: str, authorization: str = "") -> HTTPConnection:
    headers = [(b"authorization", authorization.encode())] if authorization else []
    return HTTPConnection(
        {
            "type": "websocket",
            "headers": headers,
            "query_string": b"",
            "subprotocols": list(subprotocols),
        }
    )


@pytest.mark.parametrize(
    ("connection", "authorization"),
    [
        (socket("sensorium.converse.v1", "sensorium.key.sk-1.2_3"), "Bearer sk-1.2_3"),
        (socket("sensorium.converse.v1", authorization="Bearer other"), "Bearer other"),
        (socket(), ""),
    ],
)
async def test_a_socket_brings_its_key_as_header_or_subprotocol(
    connection: HTTPConnection, authorization: str
) -> None:
    door = Door()
    settings = Settings(port=0)
    remote = RemoteFiles(settings)
    front = Front(cast(GatewayCalls, None), door, settings, lambda: True, remote)
    async with front.enter(connection, "StreamingConverse"):
        pass
    (arrival,) = door.arrivals
    assert (arrival.method, arrival.authorization) == ("StreamingConverse", authorization)
