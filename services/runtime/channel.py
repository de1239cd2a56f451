"""The channel and server options of every connection, in one place.

Without the two window options an unread stream keeps filling the receiver's
memory: 64 idle streams held 2.2 GB. With them 32 held 34 MB, at no clear cost
on loopback.
"""

from collections.abc import Sequence

import grpc

MESSAGE_BYTES_MAX = 4 << 20
ChannelOptions = Sequence[tuple[str, int | str]]


def _window_options(window_bytes: int) -> list[tuple[str, int | str]]:
    return [
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", window_bytes),
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        # Stages talk inside the mesh: a proxy of the environment must not come between.
        ("grpc.enable_http_proxy", 0),
        # A peer that vanished without a word is noticed, and what it held is freed.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]


def server_options(window_bytes: int) -> ChannelOptions:
    """Options of a server; ``window_bytes`` bounds what one unread stream may hold."""
    return [
        *_window_options(window_bytes),
        # One process, one port: a second server on it must fail, not share it.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 0),
    ]


def open_channel(
    address: str,
    window_bytes: int = 1 << 20,
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    credentials: grpc.ChannelCredentials | None = None,
) -> grpc.aio.Channel:
    """A channel to ``host:port`` with the shared options; over TLS with ``credentials``, unless
    it leads to a socket of this machine, ``unix:/path``."""
    options = [
        *_window_options(window_bytes),
        # Channels of equal arguments would share one connection and its window.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if credentials and not address.startswith("unix:"):
        return grpc.aio.secure_channel(
            address, credentials, options=options, interceptors=list(interceptors)
        )
    return grpc.aio.insecure_channel(address, options=options, interceptors=list(interceptors))
