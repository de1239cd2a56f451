"""Responses that come in pieces and hold on to something while they do."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class HeldResponse(StreamingResponse):
    """A streamed response; ``held`` is let go of when it is over, also when the client leaves."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        held: contextlib.AsyncExitStack,
        *,
        status: int = 200,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(body, status, headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._held:
            await super().__call__(scope, receive, send)
