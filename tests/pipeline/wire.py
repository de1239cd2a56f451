"""A connection to a server that can be cut."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Wire:
    """A connection between client and server that can be cut, as when the client is killed."""

    def __init__(self) -> None:
        self.address = ""
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def pipe(self, near: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        """Carry bytes one way until an end is gone."""
        with contextlib.suppress(ConnectionError):
            while data := await near.read(1 << 16):
                far.write(data)
                await far.drain()
        far.close()

    async def join(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Connect one client to the server."""
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        self._ends |= {writer, far_writer}
        for way in (self.pipe(reader, far_writer), self.pipe(far_reader, writer)):
            task = asyncio.create_task(way)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cut(self) -> None:
        """End all connections at once, without a word."""
        for writer in self._ends:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def wired(address: str) -> AsyncIterator[Wire]:
    """A wire to a server on this machine, at host:port."""
    wire = Wire()
    port = int(address.rsplit(":", 1)[1])
    listener = await asyncio.start_server(lambda r, w: wire.join(port, r, w), "127.0.0.1", 0)
    async with listener:
        wire.address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        try:
            yield wire
        finally:
            wire.cut()
