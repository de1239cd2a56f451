"""Files by URL, against real servers on loopback: what is fetched, and what must not be."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.remote import RemoteFiles, is_public
from services.runtime.errors import SensoriumError
from tests.harness import make_settings

FIELD = "messages[0].content[1].image_url.url"
NEVER = "the server was asked"
CONTENT = bytes(range(256)) * 1000
HERE = "127.0.0.1/32"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class WebServer:
    """Answers every request with the answer for its path."""

    answers: dict[str, Answer]
    port: int = 0
    requests: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(request)
            await self.answers[request.split()[1]](writer)
            await writer.drain()
        writer.close()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """A URL of this server."""
        return f"http://{host}:{self.port}{path}"


@contextlib.asynccontextmanager
async def web_server(
    answers: dict[str, Answer], tls: ssl.SSLContext | None = None
) -> AsyncIterator[WebServer]:
    server = WebServer(dict(answers))
    listener = await asyncio.start_server(server.serve, "0.0.0.0", 0, ssl=tls)
    async with listener:
        server.port = listener.sockets[0].getsockname()[1]
        yield server


def file(content: bytes = CONTENT, *, length: bool = True) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        told = f"Content-Length: {len(content)}\r\n" if length else ""
        writer.write(f"HTTP/1.1 200 OK\r\n{told}Connection: close\r\n\r\n".encode() + content)

    return answer


def status(code: int, location: str = "") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        told = f"Location: {location}\r\n" if location else ""
        writer.write(f"HTTP/1.1 {code} X\r\n{told}Content-Length: 0\r\n\r\n".encode())

    return answer


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


def files(
    tmp_path: Path,
    allowed: str = "",
    resolve: Callable[[str, int], Awaitable[Sequence[str]]] | None = None,
    **changes: object,
) -> RemoteFiles:
    settings = make_settings(tmp_path, remote_networks_allowed=allowed, **changes)
    return RemoteFiles(settings, resolve) if resolve else RemoteFiles(settings)


async def fetch(remote: RemoteFiles, url: str) -> tuple[str, int, bytes]:
    async with remote.open(url, FIELD) as found:
        return found.name, found.size_bytes, b"".join([chunk async for chunk in found.chunks])


async def refusal(remote: RemoteFiles, url: str) -> str:
    """The reason why a URL is not fetched."""
    with pytest.raises(SensoriumError) as refused:
        await fetch(remote, url)
    assert refused.value.subject == FIELD
    return refused.value.reason


def resolving(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def test_a_file_comes_in_chunks_with_its_name_and_size(tmp_path: Path) -> None:
    async with web_server({"/a/my%20photo.jpg?v=1": file()}) as server:
        url = server.url("/a/my%20photo.jpg?v=1")
        name, size_bytes, content = await fetch(files(tmp_path, HERE), url)
    assert (name, size_bytes) == ("my photo.jpg", len(CONTENT))
    assert content == CONTENT


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "224.0.0.1",
    ],
)
async def test_no_address_but_a_public_one_is_asked(tmp_path: Path, host: str) -> None:
    async with web_server({"/secret": file()}) as server:
        assert await refusal(files(tmp_path), server.url("/secret", host)) == "URL_REFUSED"
        assert not server.requests, NEVER


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
async def test_a_name_that_leads_to_loopback_is_refused(
    tmp_path: Path, addresses: list[str]
) -> None:
    async with web_server({"/secret": file()}) as server:
        remote = files(tmp_path, resolve=resolving(*addresses))
        assert await refusal(remote, server.url("/secret", "media.example")) == "URL_REFUSED"
        assert not server.requests, NEVER


async def test_the_address_that_was_checked_is_the_one_that_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    async with web_server({"/photo": file()}) as server:
        remote = files(tmp_path, HERE, rebinding)
        await fetch(remote, server.url("/photo", "media.example"))
        assert asked == ["media.example"]
        # The server is told which of its sites is meant.
        assert f"host: media.example:{server.port}" in server.requests[0].lower()


async def test_a_second_address_is_asked_where_the_first_does_not_answer(tmp_path: Path) -> None:
    async with web_server({"/photo": file()}) as server:
        remote = files(tmp_path, "127.0.0.0/8,::1/128", resolving("::1", "127.0.0.1"))
        assert (await fetch(remote, server.url("/photo", "media.example")))[2] == CONTENT


async def test_a_redirect_is_followed_and_checked_again(tmp_path: Path) -> None:
    async with web_server({"/photo": file()}) as server:
        server.answers |= {
            "/moved": status(302, "/photo"),
            "/inside": status(302, server.url("/photo", "127.0.0.2")),
            "/file": status(302, "file:///etc/passwd"),
            "/around": status(307, "/around"),
            "/gone": status(404),
        }
        remote = files(tmp_path, HERE)
        assert await fetch(remote, server.url("/moved")) == ("moved", len(CONTENT), CONTENT)
        server.requests.clear()
        assert await refusal(remote, server.url("/inside")) == "URL_REFUSED"
        assert len(server.requests) == 1, NEVER
        assert await refusal(remote, server.url("/file")) == "URL_INVALID"
        assert await refusal(remote, server.url("/around")) == "URL_REDIRECTS"
        assert await refusal(remote, server.url("/gone")) == "URL_STATUS"


@pytest.mark.parametrize("length", [True, False])
async def test_a_file_past_the_limit_is_refused(tmp_path: Path, length: bool) -> None:
    async with web_server({"/photo": file(length=length)}) as server:
        remote = files(tmp_path, HERE, remote_bytes_max=len(CONTENT) - 1)
        assert await refusal(remote, server.url("/photo")) == "URL_TOO_LARGE"


async def test_a_server_that_drips_is_given_up(tmp_path: Path) -> None:
    async with web_server({"/photo": dripping}) as server:
        remote = files(tmp_path, HERE, remote_seconds_max=0.2)
        assert await refusal(remote, server.url("/photo")) == "URL_TIMED_OUT"


async def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with web_server({"/photo": file()}) as server:
        assert (await fetch(files(tmp_path, HERE), server.url("/photo")))[2] == CONTENT


async def test_a_name_that_dns_cannot_have_is_unknown(tmp_path: Path) -> None:
    assert await refusal(files(tmp_path), f"http://{'a' * 300}.com/x.png") == "URL_UNREACHABLE"


async def test_a_server_whose_certificate_nobody_signed_is_not_trusted(tmp_path: Path) -> None:
    names: list[str | None] = []
    tls = self_signed(tmp_path, "media.example")
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    async with web_server({"/photo": file()}, tls) as server:
        remote = files(tmp_path, HERE, resolving("127.0.0.1"))
        url = f"https://media.example:{server.port}/photo"
        assert await refusal(remote, url) == "URL_UNREACHABLE"
        # It was asked for the name, not for the address.
        assert names == ["media.example"]
        assert not server.requests, NEVER


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "URL_INVALID"),
        ("ftp://media.example/a", "URL_INVALID"),
        ("http:///a", "URL_INVALID"),
        ("http://user:secret@media.example/a", "URL_INVALID"),
        ("http://media.example:99999/a", "URL_INVALID"),
        ("http://media.example/" + "a" * 5000, "URL_INVALID"),
        ("http://media.example:25/a", "URL_REFUSED"),
    ],
)
async def test_only_urls_of_web_servers_are_fetched(tmp_path: Path, url: str, reason: str) -> None:
    assert await refusal(files(tmp_path, resolve=resolving("93.184.216.34")), url) == reason


async def test_fetching_can_be_turned_off(tmp_path: Path) -> None:
    remote = files(tmp_path, HERE, remote_urls=False)
    assert await refusal(remote, "http://127.0.0.1/a") == "REMOTE_URLS_OFF"


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_in_ipv6_clothes_is_judged_as_itself(number: int) -> None:
    plain = IPv4Address(number)
    mapped = IPv6Address((0xFFFF << 32) | number)
    nat64 = IPv6Address(int(IPv6Address("64:ff9b::")) | number)
    six_to_four = IPv6Address((0x2002 << 112) | (number << 80))
    assert {is_public(mapped), is_public(nat64), is_public(six_to_four)} == {is_public(plain)}


def self_signed(folder: Path, host: str) -> ssl.SSLContext:
    """What a server needs to pretend that it is ``host``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
