"""The connection: its options, what every call carries, and whether the server is ready."""

import enum
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

DEFAULT_ADDRESS = "127.0.0.1:50051"
GATEWAY_SERVICE = "sensorium.gateway.v1.GatewayService"

# A stream whose events nobody reads may hold this much, not the gigabytes that
# gRPC's own window estimate grows to.
_WINDOW_BYTES = 1 << 20
_MESSAGE_BYTES_MAX = 4 << 20
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """How a client shows who it is, and whom it trusts."""

    api_key: str = field(default="", repr=False)
    """A key or a token; empty: none, for a server that asks for none."""
    ca_file: Path | None = None
    """PEM file of the authorities of the server's certificate; None: the usual public ones."""
    cert_file: Path | None = None
    """PEM file of the client's own certificate, for a server that asks for one."""
    key_file: Path | None = None
    """PEM file of the private key of that certificate."""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries to show it."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a connection over TLS. Raises OSError for a file that cannot be read."""
        files = (self.ca_file, self.key_file, self.cert_file)
        return grpc.ssl_channel_credentials(
            *(file.read_bytes() if file else None for file in files)
        )


NO_CREDENTIALS = Credentials()


def open_channel(address: str, credentials: Credentials) -> grpc.aio.Channel:
    """A channel to ``host:port``, or over TLS to ``https://host:port``.

    Raises ValueError for another address, and OSError for a file that cannot be read.
    """
    target, over_tls = _target(address)
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
    if target.rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]"):
        # gRPC would send even loopback traffic through a proxy of the environment.
        options.append(("grpc.enable_http_proxy", 0))
    if over_tls:
        return grpc.aio.secure_channel(target, credentials.channel_credentials(), options=options)
    return grpc.aio.insecure_channel(target, options=options)


def _target(address: str) -> tuple[str, bool]:
    """host:port of an address, and whether it is spoken to over TLS."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address, False
    rest = rest.removesuffix("/")
    if "@" in rest:
        # URLs end in logs.
        raise ValueError("a key goes into SENSORIUM_API_KEY, not into the address")
    if scheme not in _PORTS or not rest or any(mark in rest for mark in "/?#"):
        raise ValueError("an address is host:port or https://host:port")
    has_port = rest.rpartition(":")[2].isdecimal()
    return (rest if has_port else f"{rest}:{_PORTS[scheme]}"), scheme == "https"


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
