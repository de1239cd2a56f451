"""Bodies of HTTP as bytes: forms to send, streams of events that came."""

import json
from typing import Any

_BOUNDARY = "----form"
FORM = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
END = f"--{_BOUNDARY}--\r\n".encode()
"""What follows the last part of a form."""


def part(name: str, content: bytes, filename: str = "") -> bytes:
    """A part of a form."""
    file = f'; filename="{filename}"' if filename else ""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def events_of(body: str) -> list[dict[str, Any]]:
    """The events of a stream, which ends with its mark."""
    *events, done, after = body.split("\n\n")
    assert (done, after) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]
