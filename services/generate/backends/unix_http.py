"""JSON calls to an HTTP server that listens on a Unix socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class UnixHttpClient:
    """One connection a call: a call costs half a millisecond, and threads share nothing."""

    def __init__(self, path: Path, timeout_s: float = 30.0) -> None:
        self._path = path
        self._timeout_s = timeout_s

    def get(self, route: str) -> Any:
        """The decoded answer. Raises RuntimeError where the status is not 200."""
        return self._call("GET", route, None)

    def post(self, route: str, body: dict[str, Any]) -> Any:
        """The decoded answer. Raises RuntimeError where the status is not 200."""
        return self._call("POST", route, json.dumps(body))

    def _call(self, method: str, route: str, body: str | None) -> Any:
        connection = _UnixConnection(self._path, self._timeout_s)
        try:
            connection.request(method, route, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            payload = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise RuntimeError(f"{route} answered {response.status}: {payload[:500]!r}")
        return json.loads(payload)
