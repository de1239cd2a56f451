"""Files that a request names by URL, fetched without reaching what only this server can reach.

The name of a host is resolved here, every address that it stands for must be public, and the
connection goes to the very address that was checked, so that a name which resolves otherwise
the second time gains nothing (DNS rebinding). Redirects are followed by hand and each is
checked like the first URL. See OWASP, "Server-Side Request Forgery Prevention".
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

import httpx2

from services.gateway.http.body.multipart import safe_filename
from services.runtime.errors import InvalidInput, LimitExceeded, SensoriumError
from services.runtime.settings import Settings

CHUNK_BYTES = 64 << 10
REDIRECTS_MAX = 3
URL_CHARACTERS_MAX = 4096
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 10.0
"""Longest wait for the next bytes."""
_WEB_PORTS = (80, 443)
_FIRST_USER_PORT = 1024
"""Below it, other protocols have their ports (RFC 6335); above it, web servers have many."""
_PORT_MAX = 65535
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_REDIRECTS = (301, 302, 303, 307, 308)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that is being fetched."""

    name: str
    """For people: the last part of the URL's path."""
    size_bytes: int
    """As the other server says; 0 where it does not."""
    chunks: AsyncIterator[bytes]
    """The bytes as they come, at most 64 KiB each. Raises as ``RemoteFiles.open``."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, best first. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet, also the IPv4 address that an IPv6
    address stands for (mapped, 6to4, NAT64)."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


class RemoteFiles:
    """Fetches files from public web servers, within limits of size and time."""

    def __init__(self, settings: Settings, resolve: Resolve = resolve) -> None:
        self._enabled = settings.remote_urls
        self._allowed = settings.remote_networks_allowed
        self._bytes_max = settings.remote_bytes_max
        self._seconds_max = settings.remote_seconds_max
        self._resolve = resolve

    @contextlib.asynccontextmanager
    async def open(self, url: str, subject: str) -> AsyncIterator[RemoteFile]:
        """Fetch a file; ``subject`` names the field that holds the URL.

        Raises:
            InvalidInput: REMOTE_URLS_OFF, URL_INVALID, URL_REFUSED (not public, or a port of
                another protocol), URL_UNREACHABLE, URL_REDIRECTS, URL_STATUS, URL_TIMED_OUT.
            LimitExceeded: URL_TOO_LARGE.
        """
        if not self._enabled:
            raise InvalidInput(
                "REMOTE_URLS_OFF",
                "This server fetches no URLs; send the bytes, as a data: URL or a file.",
                subject=subject,
            )
        async with contextlib.AsyncExitStack() as stack:
            with _told(subject):
                # The time runs from here, also while the chunks are read.
                deadline_s = asyncio.get_running_loop().time() + self._seconds_max
                async with asyncio.timeout_at(deadline_s):
                    response = await self._follow(stack, _parse(url, subject), subject)
            size_bytes = self._check_response(response, subject)
            chunks = await stack.enter_async_context(
                contextlib.aclosing(self._read(response, deadline_s, subject))
            )
            yield RemoteFile(_file_name(url), size_bytes, chunks)

    async def _follow(
        self, stack: contextlib.AsyncExitStack, url: httpx2.URL, subject: str
    ) -> httpx2.Response:
        for _ in range(REDIRECTS_MAX + 1):
            # A client for each hop: a connection that was opened for one name must not serve
            # another name at the same address, and no cookie may travel.
            client = await stack.enter_async_context(self._client())
            response = await self._request(client, url, subject)
            stack.push_async_callback(response.aclose)
            location = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not location:
                return response
            url = _parse(str(url.join(location)), subject)
        raise InvalidInput(
            "URL_REDIRECTS",
            f"The URL redirects more than {REDIRECTS_MAX} times.",
            subject=subject,
        )

    def _client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            verify=self._tls,
            trust_env=False,
            timeout=httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )

    async def _request(
        self, client: httpx2.AsyncClient, url: httpx2.URL, subject: str
    ) -> httpx2.Response:
        """Ask the first address that can be reached."""
        addresses = await self._addresses(url, subject)
        for position, address in enumerate(addresses):
            request = client.build_request(
                "GET",
                url.copy_with(host=str(address)),
                # Not compressed: what is stored is what was counted.
                headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"},
                # TLS asks for, and verifies, the name.
                extensions={"sni_hostname": _host(url)},
            )
            try:
                return await client.send(request, stream=True)
            except httpx2.ConnectError:
                if position == len(addresses) - 1:
                    raise
        raise InvalidInput("URL_UNREACHABLE", "The URL's host has no address.", subject=subject)

    async def _addresses(self, url: httpx2.URL, subject: str) -> list[Address]:
        """Where a URL leads. Raises InvalidInput URL_REFUSED unless all of it is public."""
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        try:
            found = await self._resolve(_host(url), port)
        except (OSError, UnicodeError):
            # The latter for a name that DNS cannot have, such as one with a part of 300 letters.
            raise InvalidInput(
                "URL_UNREACHABLE", "The URL's host is not known.", subject=subject
            ) from None
        addresses = [ipaddress.ip_address(each.split("%", 1)[0]) for each in found]
        for address in addresses:
            if any(address in network for network in self._allowed):
                continue
            usual_port = port in _WEB_PORTS or port >= _FIRST_USER_PORT
            if not (is_public(address) and usual_port):
                raise InvalidInput(
                    "URL_REFUSED",
                    "The URL does not lead to a public web server.",
                    subject=subject,
                )
        return addresses

    def _check_response(self, response: httpx2.Response, subject: str) -> int:
        """The size that the server tells."""
        if response.status_code != 200:
            raise InvalidInput(
                "URL_STATUS",
                f"The URL's server answered with status {response.status_code}.",
                subject=subject,
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise InvalidInput(
                "URL_ENCODED", "The URL's server sends compressed content.", subject=subject
            )
        told = response.headers.get("content-length", "")
        size_bytes = int(told) if told.isdecimal() else 0
        self._check_size(size_bytes, subject)
        return size_bytes

    def _check_size(self, size_bytes: int, subject: str) -> None:
        if size_bytes > self._bytes_max:
            raise LimitExceeded(
                "URL_TOO_LARGE",
                f"The URL's file has more than {self._bytes_max} bytes.",
                subject=subject,
            )

    async def _read(
        self, response: httpx2.Response, deadline_s: float, subject: str
    ) -> AsyncGenerator[bytes, None]:
        received = 0
        chunks = aiter(response.aiter_raw(CHUNK_BYTES))
        while True:
            with _told(subject):
                async with asyncio.timeout_at(deadline_s):
                    chunk = await anext(chunks, None)
            if chunk is None:
                return
            received += len(chunk)
            self._check_size(received, subject)
            yield chunk

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Made at the first use: reading the roots takes tens of milliseconds.
        return httpx2.create_ssl_context(trust_env=False)


def _parse(url: str, subject: str) -> httpx2.URL:
    """A URL of the web. Raises InvalidInput URL_INVALID."""
    try:
        parsed = httpx2.URL(url) if len(url) <= URL_CHARACTERS_MAX else httpx2.URL("")
    except (httpx2.InvalidURL, ValueError):
        parsed = httpx2.URL("")
    named = parsed.scheme in ("http", "https") and parsed.host and not parsed.userinfo
    if not named or not 0 < (parsed.port or 80) <= _PORT_MAX:
        raise InvalidInput(
            "URL_INVALID",
            f"A URL must be http(s)://host/..., without a password, at most "
            f"{URL_CHARACTERS_MAX} characters; or a data: URL.",
            subject=subject,
        )
    return parsed


def _file_name(url: str) -> str:
    return safe_filename(unquote(httpx2.URL(url).path))


def _host(url: httpx2.URL) -> str:
    """The host as DNS and certificates spell it."""
    return url.raw_host.decode("ascii")


@contextlib.contextmanager
def _told(subject: str) -> Iterator[None]:
    """Errors of the fetch as ours."""
    try:
        yield
    except SensoriumError:
        raise
    except (TimeoutError, httpx2.TimeoutException):
        raise InvalidInput(
            "URL_TIMED_OUT", "The URL's server took too long.", subject=subject
        ) from None
    except httpx2.HTTPError:
        raise InvalidInput(
            "URL_UNREACHABLE", "The URL's server cannot be reached.", subject=subject
        ) from None
