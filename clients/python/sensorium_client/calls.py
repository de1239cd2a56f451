"""What the calls of a client share: the stub, the trace, errors of one kind."""

from typing import Any

import grpc
from sensorium.gateway.v1 import gateway_pb2_grpc

from sensorium_client.channel import CallContext, Credentials
from sensorium_client.duplex import DuplexCall, WritingStopped
from sensorium_client.errors import from_rpc_error


class GatewayCalls:
    """A stub of the gateway, and how it is called."""

    def __init__(
        self, stub: "gateway_pb2_grpc.GatewayServiceAsyncStub", credentials: Credentials
    ) -> None:
        self._stub = stub
        self._credentials = credentials

    def _metadata(self, context: CallContext | None = None) -> tuple[tuple[str, str], ...]:
        """What a call carries; without a ``context`` it begins a trace of its own."""
        return (*(context or CallContext()).metadata, *self._credentials.metadata)

    async def _unary(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


async def begin(call: DuplexCall[Any, Any], first: Any) -> None:
    """Send the first message of a stream."""
    try:
        await call.write(first)
    except WritingStopped:
        # Refused before the first message: the reader gets to know why.
        return
