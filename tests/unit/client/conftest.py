"""A fake gateway on a real port, and a client of it."""

from collections.abc import AsyncIterator

import pytest_asyncio
from sensorium_client import Client

from tests.unit.client.fake_gateway import FakeGateway, serve


@pytest_asyncio.fixture
async def gateway() -> FakeGateway:
    """What the server says; set its fields before the call."""
    # Not every call of the contract: those that the client is tested by.
    return FakeGateway()  # type: ignore[abstract]


@pytest_asyncio.fixture
async def address(gateway: FakeGateway) -> AsyncIterator[str]:
    """Where it listens."""
    server, address = await serve(gateway)
    yield address
    await server.stop(0)


@pytest_asyncio.fixture
async def client(address: str) -> AsyncIterator[Client]:
    """A client of it."""
    async with Client(address) as client:
        yield client
