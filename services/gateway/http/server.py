"""The HTTP server: uvicorn on the gateway's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from services.gateway.http.frames import FRAME_BYTES_MAX
from services.runtime.errors import Unavailable
from services.runtime.server import join_address
from services.runtime.tls import ServerTls

BACKLOG = 512


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's own affair."""
        yield


class HttpServer:
    """Serves an application until it is closed. ``port`` is known once it is open."""

    def __init__(
        self, host: str, port: int, drain_grace_s: float, tls: ServerTls | None = None
    ) -> None:
        self._host = host
        self.port = port
        self._drain_grace_s = drain_grace_s
        self._tls = tls
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"{'https' if self._tls else 'http'}://{join_address(self._host, self.port)}"

    def open(self, app: FastAPI) -> None:
        """Accept connections from now on. Raises Unavailable PORT_IN_USE."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self._host, self.port))
        except OSError:
            listening.close()
            raise Unavailable(
                "PORT_IN_USE",
                f"Cannot listen for HTTP on {self._host}:{self.port}: is another server running "
                "there? Set SENSORIUM_HTTP_PORT to use another port.",
                subject="SENSORIUM_HTTP_PORT",
            ) from None
        listening.listen(BACKLOG)
        self.port = listening.getsockname()[1]
        tls = self._tls
        self._server = _Server(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                ws="websockets-sansio",
                ws_max_size=FRAME_BYTES_MAX,
                # What comes is media, which does not shrink.
                ws_per_message_deflate=False,
                # Whole seconds are what it takes.
                timeout_graceful_shutdown=max(1, round(self._drain_grace_s)),
                ssl_context_factory=(lambda *_: tls.http_context()) if tls else None,
            )
        )
        self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))

    async def close(self) -> None:
        """Accept no more, and wait for the open requests as long as the grace lasts."""
        if self._server and self._serving:
            self._server.should_exit = True
            await self._serving
