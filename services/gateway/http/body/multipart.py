"""Reads ``multipart/form-data`` (RFC 7578) while it is still being sent.

The bytes of a file go to its reader as they come: the body is read no faster than that, and
nothing of a file is kept. Whatever the pieces in which a body arrives, its parts are the same.
"""

import logging
import re
import unicodedata
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from services.runtime.errors import InvalidInput, LimitExceeded

CHUNK_BYTES_MAX = 1 << 20
"""Of a file, at once: what one message to ingest may hold."""
FILENAME_CHARACTERS_MAX = 255
FIELD_NAME_CHARACTERS_MAX = 100
HEADER_COUNT_MAX = 8
HEADER_BYTES_MAX = 4096
UNNAMED = "unnamed"

_CONTENT_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")

# What a client sends wrongly is told to the client; the parser would fill the log with it.
logging.getLogger(MultipartParser.__module__).setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class FormLimits:
    """How large a form may be, its files apart: ingest has limits of its own for those."""

    part_count: int = 64
    field_bytes: int = 1 << 20
    """Of all fields together."""


@dataclass(frozen=True, slots=True)
class FormField:
    """A part without a file name."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FormFile:
    """A part with a file name. ``chunks`` are to be read before the next part is asked for; what
    is left unread then is skipped."""

    name: str
    """Name of the part."""
    filename: str
    """For people only: no path, no control characters, never empty."""
    content_type: str
    """As the client says, without parameters; empty if it does not."""
    chunks: AsyncIterator[bytes]
    """The content, at most ``CHUNK_BYTES_MAX`` at once. Raises InvalidInput for a bad body."""


FormPart = FormField | FormFile


async def read_form(
    request: Request, limits: FormLimits | None = None
) -> AsyncGenerator[FormPart, None]:
    """The parts of a request's body, in order, each as soon as it begins.

    Ends only after a whole and well-formed body. Raises InvalidInput (NOT_MULTIPART,
    MULTIPART_MALFORMED, MULTIPART_CUT_OFF, FIELD_NOT_UTF8) and LimitExceeded (TOO_MANY_PARTS,
    FIELDS_TOO_LARGE), from here or from the chunks of a file.
    """
    content_type = request.headers.get("content-type", "")
    reader = _Reader(content_type, request.stream(), limits or FormLimits())
    async for part in reader.parts():
        yield part


def is_multipart(request: Request) -> bool:
    """Whether the request says that its body is a form with parts."""
    return _media_type(request.headers.get("content-type", "")) == "multipart/form-data"


def safe_filename(name: str) -> str:
    """The last component of a client's name for a file, fit to be shown and stored."""
    last = unicodedata.normalize("NFC", name.replace("\\", "/").rsplit("/", 1)[-1])
    spaced = (" " if unicodedata.category(c) == "Zs" else c for c in last)
    shown = "".join(c for c in spaced if c.isprintable()).strip()
    if not shown.strip("."):
        return UNNAMED
    if len(shown) > FILENAME_CHARACTERS_MAX:
        # The ending says what it is.
        ending = PurePosixPath(shown).suffix[:16]
        shown = shown[: FILENAME_CHARACTERS_MAX - len(ending)].rstrip() + ending
    return shown


class _Mark:
    """Between the bytes of parts."""


_PART_END, _FORM_END = _Mark(), _Mark()
_Headers = dict[str, str]
_Event = bytes | _Headers | _Mark


class _Reader:
    """One body: pulls pieces, pushes them through the parser, and hands on what falls out."""

    def __init__(self, content_type: str, body: AsyncIterable[bytes], limits: FormLimits) -> None:
        self._body = _pieces(body)
        self._limits = limits
        self._part_count = 0
        self._field_bytes = 0
        self._in_part = False
        self._events: deque[_Event] = deque()
        self._headers: _Headers = {}
        self._header_name, self._header_value = bytearray(), bytearray()
        self._parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": lambda: self._events.append(_PART_END),
                "on_end": lambda: self._events.append(_FORM_END),
            },
            max_header_count=HEADER_COUNT_MAX,
            max_header_size=HEADER_BYTES_MAX,
        )

    async def parts(self) -> AsyncGenerator[FormPart, None]:
        """See ``read_form``."""
        while isinstance(headers := await self._next(), dict):
            self._part_count += 1
            if self._part_count > self._limits.part_count:
                raise LimitExceeded(
                    "TOO_MANY_PARTS", f"A form has at most {self._limits.part_count} parts."
                )
            self._in_part = True
            name, filename = _disposition(headers)
            if filename is None:
                yield FormField(name, await self._value(name))
            else:
                content_type = _part_type(name, headers)
                yield FormFile(name, safe_filename(filename), content_type, self._content())
            while self._in_part:
                await self._data()

    async def _value(self, name: str) -> str:
        value = bytearray()
        async for data in self._content():
            value += data
            self._field_bytes += len(data)
            if self._field_bytes > self._limits.field_bytes:
                raise LimitExceeded(
                    "FIELDS_TOO_LARGE",
                    f"The fields of a form have at most {self._limits.field_bytes} bytes; "
                    "send media as files.",
                    subject=name,
                )
        return _utf8(bytes(value), name)

    async def _content(self) -> AsyncGenerator[bytes, None]:
        while data := await self._data():
            yield data

    async def _data(self) -> bytes:
        """The next bytes of the part; none at its end."""
        event = await self._next()
        if isinstance(event, bytes):
            return event
        self._in_part = False
        return b""

    async def _next(self) -> _Event:
        while not self._events:
            piece = await anext(self._body, b"")
            if not piece:
                raise InvalidInput("MULTIPART_CUT_OFF", "The body ends before its last boundary.")
            try:
                self._parser.write(piece)
            except FormParserError:
                raise InvalidInput(
                    "MULTIPART_MALFORMED",
                    "The body is not well-formed multipart/form-data, or the headers of a part "
                    "are too long.",
                ) from None
        return self._events.popleft()

    def _on_part_begin(self) -> None:
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        # Latin-1 keeps the bytes, as the parser of options takes them.
        name, value = (raw.decode("latin-1") for raw in (self._header_name, self._header_value))
        self._headers[name.lower()] = value
        self._header_name, self._header_value = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        self._events.append(self._headers)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])


async def _pieces(body: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in body:
            for start in range(0, len(piece), CHUNK_BYTES_MAX):
                yield piece[start : start + CHUNK_BYTES_MAX]
    except ClientDisconnect:
        # To the reader it is a body that ends early.
        return


def _boundary(content_type: str) -> bytes:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    # RFC 2046 allows 70.
    if _media_type(content_type) != "multipart/form-data" or not 1 <= len(boundary) <= 70:
        raise InvalidInput(
            "NOT_MULTIPART",
            "The body must be multipart/form-data with a boundary.",
            subject="Content-Type",
        )
    return boundary


def _disposition(headers: _Headers) -> tuple[str, str | None]:
    """The name of a part and, of a file, its file name."""
    kind, options = parse_options_header(headers.get("content-disposition", ""))
    name, filename = options.get(b"name", b"").decode(errors="replace"), options.get(b"filename")
    if kind != b"form-data" or not (name and name.isprintable()):
        raise InvalidInput(
            "MULTIPART_MALFORMED", "Each part must have a Content-Disposition that names it."
        )
    if len(name) > FIELD_NAME_CHARACTERS_MAX:
        raise LimitExceeded(
            "FIELD_NAME_TOO_LONG",
            f"The name of a field has at most {FIELD_NAME_CHARACTERS_MAX} characters.",
        )
    return name, None if filename is None else filename.decode(errors="replace")


def _part_type(name: str, headers: _Headers) -> str:
    content_type = _media_type(headers.get("content-type", ""))
    if content_type and not _CONTENT_TYPE.fullmatch(content_type):
        raise InvalidInput("PART_TYPE_INVALID", "The Content-Type is malformed.", subject=name)
    if content_type.startswith("multipart/"):
        raise InvalidInput("PART_TYPE_INVALID", "A part may not hold parts.", subject=name)
    return content_type


def _media_type(content_type: str) -> str:
    return content_type.split(";", 1)[0].strip().lower()


def _utf8(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidInput("FIELD_NOT_UTF8", "A field must be UTF-8.", subject=name) from None
