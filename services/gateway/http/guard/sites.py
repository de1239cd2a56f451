"""Which names the server answers to, and which web pages may use it.

Where no key is asked for, the browser of whoever runs the server could be used against it: by
a page of another site that posts to it (CSRF, cross-site WebSocket hijacking), or by a site
whose name is made to point at it (DNS rebinding). RFC 6454 (Origin), Fetch Standard.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from services.runtime.errors import InvalidInput, PermissionDenied

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_UNUSED = frozenset({"cookie"})
"""Headers that say nothing to us, and that others on the same machine may have filled."""


@dataclass(frozen=True, slots=True)
class Sites:
    """``hosts`` are names besides this machine's own; None where any name is right, as on a public
    address. ``origins`` are those of pages that are served from elsewhere."""

    hosts: frozenset[str] | None
    origins: frozenset[str]

    def check_host(self, host: str) -> None:
        """Raises InvalidInput HEADER_INVALID and PermissionDenied HOST_REFUSED."""
        found = _HOST.fullmatch(host.lower())
        if found is None:
            raise InvalidInput("HEADER_INVALID", "The Host header is malformed.", subject="host")
        name = (found[1] or found[2]).rstrip(".")
        if self.hosts is not None and name not in self.hosts and not _is_this_machine(name):
            raise PermissionDenied(
                "HOST_REFUSED",
                "The server does not answer to this name; add it to SENSORIUM_HTTP_HOSTS if it "
                "should.",
                subject="host",
            )

    def check_origin(self, origin: str | None, host: str) -> None:
        """Whether a page of ``origin`` may change something at ``host``; None is no page.

        Raises PermissionDenied ORIGIN_REFUSED.
        """
        if origin is None or origin in self.origins:
            return
        scheme, _, authority = origin.partition("://")
        if scheme not in ("http", "https") or authority.lower() != host.lower():
            raise PermissionDenied(
                "ORIGIN_REFUSED",
                "Pages of this origin may not use the server; add it to SENSORIUM_HTTP_ORIGINS "
                "if they should.",
                subject="origin",
            )


def check_headers(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The one Host of a request. Raises InvalidInput HEADER_INVALID for what is not ASCII, for
    control characters, and unless there is exactly one Host."""
    hosts = []
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name == "host":
            hosts.append(value)
        if not _VALUE.fullmatch(value) and name not in _UNUSED:
            raise InvalidInput(
                "HEADER_INVALID", f"The header {name} has characters that it may not.", subject=name
            )
    if len(hosts) != 1:
        raise InvalidInput("HEADER_INVALID", "There must be one Host header.", subject="host")
    return hosts[0]


def _is_this_machine(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
