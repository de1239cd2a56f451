"""The public keys of who signs tokens: a JWK set (RFC 7517) of a URL or a file, kept fresh."""

import asyncio
import json
import logging
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx2
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from services.runtime.errors import InvalidInput, Unavailable

log = logging.getLogger(__name__)

REFRESH_S = 300.0
"""Keys of this age are read again while they are still used: one that is withdrawn goes."""
REFETCH_S = 10.0
"""The set is not read more often, whatever ids of keys tokens name."""
TIMEOUT_S = 5.0
BYTES_MAX = 1 << 20
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class JwkSet:
    """Finds keys by their id. Once it was read, it outlasts that its source cannot be reached."""

    def __init__(self, url: str, refetch_s: float = REFETCH_S) -> None:
        """Raises InvalidInput JWKS_URL_INVALID."""
        parts = urlsplit(url)
        web = parts.scheme in ("http", "https")
        if web and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise InvalidInput(
                "JWKS_URL_INVALID",
                "SENSORIUM_JWT_JWKS_URL must be https://... or a file: who could change the keys "
                "on their way could sign tokens.",
                subject="SENSORIUM_JWT_JWKS_URL",
            )
        self._url = url if web else ""
        self._file = Path(url2pathname(parts.path) if parts.scheme == "file" else url)
        self._refetch_s = refetch_s
        self._keys: list[PyJWK] = []
        self._tried_at = float("-inf")
        self._read_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> PyJWK | None:
        """The key with an id; without an id the only key there is. None: there is no such key.

        Raises Unavailable JWKS_UNAVAILABLE where the set could not be read yet.
        """
        if self._read_at is None:
            await self._read_again()
        elif time.monotonic() - self._read_at > REFRESH_S:
            self._start_reading()
        key = self._known(key_id)
        if key is None:
            await self._read_again()
            key = self._known(key_id)
        if self._read_at is None:
            raise Unavailable(
                "JWKS_UNAVAILABLE",
                "The keys that tokens are checked with cannot be read now; try again in a moment.",
                retry_after_s=self._refetch_s,
            )
        return key

    async def close(self) -> None:
        """End a reading that is under way."""
        if self._reading:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _known(self, key_id: str | None) -> PyJWK | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == key_id), None)

    async def _read_again(self) -> None:
        self._start_reading()
        if self._reading:
            # Others may wait for it too.
            await asyncio.shield(self._reading)

    def _start_reading(self) -> None:
        recently = time.monotonic() - self._tried_at < self._refetch_s
        if recently or (self._reading and not self._reading.done()):
            return
        self._tried_at = time.monotonic()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            content = await (self._fetch() if self._url else asyncio.to_thread(self._read_file))
            self._keys = _signing_keys(content)
            self._read_at = time.monotonic()
        except (httpx2.HTTPError, OSError, ValueError) as error:
            log.warning("the JWK set of SENSORIUM_JWT_JWKS_URL cannot be read: %r", error)

    async def _fetch(self) -> bytes:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx2.AsyncClient() as client,
            client.stream("GET", self._url) as response,
        ):
            response.raise_for_status()
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                _check_size(content)
        return content

    def _read_file(self) -> bytes:
        with self._file.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
        _check_size(content)
        return content


def _check_size(content: bytes) -> None:
    if len(content) > BYTES_MAX:
        raise ValueError("it is too large")


def _signing_keys(content: bytes) -> list[PyJWK]:
    """The keys of a set that tokens may be signed with; what else is in it is for others, and
    may be of a kind that nobody here knows. Raises ValueError where it is no set."""
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it is no JWK set")
    return [
        key
        for key in map(_key, entries)
        # A shared secret in a public set would let anyone sign; "enc" keys sign nothing.
        if key and key.key_type != "oct" and key.public_key_use in (None, "sig")
    ]


def _key(entry: object) -> PyJWK | None:
    """The key that an entry of a set describes; None where it describes none."""
    # PyJWT looks the algorithm up whatever it is.
    if not isinstance(entry, dict) or not isinstance(entry.get("alg", ""), str):
        return None
    try:
        return PyJWK(entry)
    except PyJWTError as error:
        log.info("a key of the JWK set is left out: %s", type(error).__name__)
        return None
