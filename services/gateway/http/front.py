"""What every route has at hand, and how a request comes through the door."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from services.gateway.access.entrance import Arrival, Entrance
from services.gateway.calls import GatewayCalls
from services.gateway.http.remote import RemoteFiles
from services.runtime.calls import PRIORITY_KEY, CallScope
from services.runtime.errors import InvalidInput, Unavailable
from services.runtime.settings import Settings

RETRY_AFTER_S = 1.0
KEY_SUBPROTOCOL = "sensorium.key."
QUERY_NAMES = {"access_token", "api_key", "api-key", "apikey", "authorization", "key", "token"}
"""Where clients of other services put their key into the URL."""


@dataclass(frozen=True, slots=True)
class Front:
    """The gateway as the routes see it."""

    calls: GatewayCalls
    entrance: Entrance
    settings: Settings
    ready: Callable[[], bool]
    remote: RemoteFiles
    started_s: int = field(default_factory=lambda: int(time.time()))
    """In seconds since 1970."""

    def check_ready(self) -> None:
        """Raises Unavailable NOT_READY while models are still loading."""
        if not self.ready():
            raise Unavailable(
                "NOT_READY",
                "The server is still loading its models; try again in a moment.",
                retry_after_s=RETRY_AFTER_S,
            )

    def enter(
        self, connection: HTTPConnection, method: str
    ) -> AbstractAsyncContextManager[CallScope]:
        """The scope of a request, as ``Entrance.enter`` gives it; ``method`` names the RPC that the
        route stands for. Raises Unavailable NOT_READY while models are still loading."""
        self.check_ready()
        _check_url(connection)
        return self.entrance.enter(
            Arrival(
                method=method,
                authorization=_authorization(connection),
                priority=connection.headers.get(PRIORITY_KEY, ""),
            )
        )


def _check_url(connection: HTTPConnection) -> None:
    for name in connection.query_params:
        if name.lower() in QUERY_NAMES:
            raise InvalidInput(
                "CREDENTIAL_IN_URL",
                "Send the key as `Authorization: Bearer ...` and not in the URL, which is logged; "
                "a real one that was sent so should be revoked.",
                subject=name,
            )


def _authorization(connection: HTTPConnection) -> str:
    """As in the header. A browser cannot set one for a WebSocket: there the key may be offered as
    a subprotocol, which unlike a URL is not logged."""
    for name in connection.scope.get("subprotocols", ()):
        if name.startswith(KEY_SUBPROTOCOL):
            return f"Bearer {name.removeprefix(KEY_SUBPROTOCOL)}"
    return connection.headers.get("authorization", "")


def _front(connection: HTTPConnection) -> Front:
    return cast(Front, connection.app.state.front)


FrontDep = Annotated[Front, Depends(_front)]
