"""The HTTP server: uvicorn on the gateway's own event loop, the application behind its guards."""

import asyncio
import contextlib
import functools
import math
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI

from services.gateway.http.frames import FRAME_BYTES_MAX
from services.gateway.http.guard.guarded import Guarded
from services.gateway.http.guard.protocol import ConnectionLimits, GuardedProtocol, GuardedWebSocket
from services.runtime.errors import Unavailable
from services.runtime.server import join_address
from services.runtime.settings import Settings
from services.runtime.tls import server_tls

BACKLOG = 512
UNLIMITED_S = 1 << 20
CLOSE_S = 2.0
"""How long connections may take to close when all requests have ended."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's own affair."""
        yield


@dataclass(frozen=True, slots=True)
class _Open:
    app: Guarded
    server: _Server
    serving: "asyncio.Task[None]"


class HttpServer:
    """Serves an application until it is closed. ``port`` is known once it is open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tls = server_tls(settings)
        self.port = settings.http_port
        self._open: _Open | None = None

    @property
    def url(self) -> str:
        """Where it is reached."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://{join_address(self._settings.host, self.port)}"

    def open(self, app: FastAPI) -> None:
        """Accept connections from now on. Raises Unavailable PORT_IN_USE."""
        listening = self._listen()
        self.port = listening.getsockname()[1]
        guarded = Guarded(app, self._settings)
        server = _Server(self._config(guarded))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        self._open = _Open(guarded, server, serving)

    def _listen(self) -> socket.socket:
        host = self._settings.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio sets TCP_NODELAY only where the protocol is named, and accepted sockets take it
        # over. Without it the first event waits until the client acknowledges the headers, which
        # it puts off for 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, self.port))
        except OSError:
            listening.close()
            raise Unavailable(
                "PORT_IN_USE",
                f"Cannot listen for HTTP on {host}:{self.port}: is another server running "
                "there? Set SENSORIUM_HTTP_PORT to use another port.",
                subject="SENSORIUM_HTTP_PORT",
            ) from None
        listening.listen(BACKLOG)
        return listening

    def _config(self, app: Guarded) -> uvicorn.Config:
        settings, tls = self._settings, self._tls
        limits = ConnectionLimits(
            connections_max=settings.http_connections_max,
            stall_s=settings.http_stall_s,
            keep_alive_s=settings.http_keep_alive_s,
        )
        # uvicorn takes classes, and only ever calls them.
        http: Any = functools.partial(GuardedProtocol, limits)
        ws: Any = functools.partial(GuardedWebSocket, limits)
        return uvicorn.Config(
            app,
            http=http,
            ws=ws,
            ws_max_size=FRAME_BYTES_MAX,
            # What comes is media, which does not shrink.
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            # Its own life is not what whoever runs the platform wants to read of; and at "info" it
            # writes the URLs of WebSockets, in which there may be a key.
            log_level="error",
            access_log=False,
            server_header=False,
            ssl_context_factory=(lambda *_: tls.http_context()) if tls else None,
            # GuardedProtocol has one that bytes which are no request do not put off.
            timeout_keep_alive=UNLIMITED_S,
            timeout_graceful_shutdown=math.ceil(settings.drain_grace_s + CLOSE_S),
        )

    async def drain(self) -> None:
        """Accept no more, and let the open requests end as long as the grace lasts."""
        if self._open:
            self._open.server.should_exit = True
            await self._open.app.draining.drain(self._settings.drain_grace_s)

    async def close(self) -> None:
        """End what is still open."""
        if self._open is None:
            return
        self._open.server.should_exit = True
        await self._open.app.draining.drain(0.0)
        await asyncio.wait({self._open.serving}, timeout=CLOSE_S)
        for connection in list(self._open.server.server_state.connections):
            # A client that does not even read what it was told.
            connection.transport.abort()
        await self._open.serving
