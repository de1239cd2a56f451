"""The connection: its options, what every call carries, and whether the server is ready."""

import enum
import secrets
import time
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

DEFAULT_ADDRESS = "127.0.0.1:50051"
GATEWAY_SERVICE = "sensorium.gateway.v1.GatewayService"

# A stream whose events nobody reads may hold this much, not the gigabytes that
# gRPC's own window estimate grows to.
_WINDOW_BYTES = 1 << 20
_MESSAGE_BYTES_MAX = 4 << 20


def open_channel(address: str) -> grpc.aio.Channel:
    """A channel to ``host:port``."""
    options: list[tuple[str, int]] = [
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
        ("grpc.use_local_subchannel_pool", 1),
        # A server that is being started is found soon after it listens.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if address.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]"):
        # gRPC would send even loopback traffic through a proxy of the environment.
        options.append(("grpc.enable_http_proxy", 0))
    return grpc.aio.insecure_channel(address, options=options)


@dataclass(frozen=True)
class CallContext:
    """Where a call belongs: a W3C trace that begins at this client."""

    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    """32 hexadecimal digits."""
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    """16 hexadecimal digits: the client's own part of the trace."""
    start_time_s: float = field(default_factory=time.time)
    """When it began, seconds since 1970."""

    @property
    def traceparent(self) -> str:
        """The value of the ``traceparent`` header."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries to belong to it."""
        return (("traceparent", self.traceparent),)


class ServerState(enum.Enum):
    """What a health check finds."""

    SERVING = "serving"
    STARTING = "starting"
    ABSENT = "absent"


async def server_state(channel: grpc.aio.Channel, timeout_s: float) -> ServerState:
    """Whether a gateway answers on the channel, and whether it is ready."""
    stub = health_pb2_grpc.HealthStub(channel)
    statuses = []
    # The gateway may be ready before the stages behind it; the empty name is the whole.
    for name in (GATEWAY_SERVICE, ""):
        request = health_pb2.HealthCheckRequest(service=name)
        try:
            statuses.append((await stub.Check(request, timeout=timeout_s)).status)
        except grpc.aio.AioRpcError:
            return ServerState.ABSENT
    serving = all(status == health_pb2.HealthCheckResponse.SERVING for status in statuses)
    return ServerState.SERVING if serving else ServerState.STARTING
