"""Connections to PostgreSQL that a server which does not answer cannot hold for ever."""

import asyncio
import os
import socket
from typing import Any

import psycopg

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 10.0
"""What the slowest statement, the usage of all tenants, may take."""

# A peer that is gone without a word is noticed by the kernel, whether it is being waited for ...
_VANISHED_AFTER_S = 10
_KEEPALIVES = {
    "tcp_user_timeout": _VANISHED_AFTER_S * 1000,
    # ... or only kept for later.
    "keepalives_idle": _VANISHED_AFTER_S,
    "keepalives_interval": 5,
    "keepalives_count": 2,
}


class ImpatientConnection(psycopg.AsyncConnection[Any]):
    """Hangs up on a server that leaves a statement, or a commit, without an answer.

    A server that is there and does nothing (its disk hangs, its machine is suspended) acknowledges
    what it is sent, so that the kernel sees nothing wrong, and ends no statement by its own
    ``statement_timeout``. The statement then fails with OperationalError.
    """

    async def wait(self, *args: Any, **options: Any) -> Any:
        """See psycopg: every wait for the server."""
        timer = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_S, self._hang_up)
        try:
            return await super().wait(*args, **options)
        finally:
            timer.cancel()

    def _hang_up(self) -> None:
        # Whoever waits is woken by the end of the stream, and psycopg closes the rest.
        with socket.socket(fileno=os.dup(self.pgconn.socket)) as connected:
            connected.shutdown(socket.SHUT_RDWR)


def connect_options(given: Any, *, patient: bool) -> dict[str, Any]:
    """Arguments of psycopg for an engine; what the URL says itself, in ``given``, holds.

    A ``patient`` one waits for every answer, for work that may take long.
    """
    options = {"connect_timeout": CONNECT_TIMEOUT_S, **_KEEPALIVES}
    chosen: dict[str, Any] = {name: value for name, value in options.items() if name not in given}
    if not patient:
        chosen["async_creator_fn"] = ImpatientConnection.connect
    return chosen
