"""A command's client: of the server it is told, of the one that runs, or of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from rich.console import Console

from sensorium_client.channel import DEFAULT_ADDRESS, NO_CREDENTIALS, ServerState
from sensorium_client.child_server import child_server
from sensorium_client.client import Client
from sensorium_client.launcher import running_server
from sensorium_client.terminal import CommandError

_STARTING = "starting the services (the first start prepares the models) ..."
_HINTS = {
    False: "Start one with `sensorium serve`, or leave out --server and SENSORIUM_SERVER. "
    "One that has a certificate is https://HOST:PORT.",
    True: "Is its certificate made out for that name, and of an authority in --ca-file? Does it "
    "ask for one of yours (--cert-file, --key-file)?",
}
"""Whether over TLS -> what may be the matter."""
_WAIT_S = 600.0
_POLL_S = 0.2

chosen_credentials = ContextVar("chosen_credentials", default=NO_CREDENTIALS)
"""What the options before the command say, such as --api-key."""


def client_of(address: str) -> Client:
    """A client with the chosen credentials. Raises CommandError for what is no address."""
    try:
        return Client(address, chosen_credentials.get())
    except ValueError as error:
        raise CommandError(f"--server is not right: {error}.") from None


@asynccontextmanager
async def connected(server: str | None, console: Console) -> AsyncIterator[Client]:
    """A client of a ready server. A server that this starts is stopped at the end.

    Raises:
        CommandError: the named server does not answer, or none can be started.
    """
    async with client_of(server or running_server() or DEFAULT_ADDRESS) as client:
        with console.status(f"waiting for the server on {client.address} ..."):
            state = await _settled_state(client)
        if state is ServerState.SERVING:
            yield client
            return
    if server:
        raise CommandError(f"No server answers on {server}.", _HINTS[server.startswith("https://")])
    starting = console.status(_STARTING)
    starting.start()
    try:
        async with child_server(chosen_credentials.get()) as client:
            starting.stop()
            yield client
    finally:
        starting.stop()


async def _settled_state(client: Client) -> ServerState:
    deadline_s = asyncio.get_running_loop().time() + _WAIT_S
    while True:
        state = await client.server_state()
        if state is not ServerState.STARTING or asyncio.get_running_loop().time() > deadline_s:
            return state
        await asyncio.sleep(_POLL_S)
