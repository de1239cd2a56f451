"""Forms with files: the same parts however the body is cut, one piece at a time in memory, and a
typed error for every body that is not one."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from services.gateway.http.body.multipart import (
    CHUNK_BYTES_MAX,
    FILENAME_CHARACTERS_MAX,
    UNNAMED,
    FormFile,
    FormLimits,
    read_form,
    safe_filename,
)
from services.runtime.errors import InvalidInput, LimitExceeded

BOUNDARY = b"x-form"
CONTENT_TYPE = "multipart/form-data; boundary=x-form"

Part = tuple[str, str, str, bytes]
"""Name, file name (empty for a field), content type, content."""

# What looks like a boundary is what a parser gets wrong.
fragments = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"--", b"\r\n--x-for", b"x-form", b"\r\n-", b"a"]
)
contents = st.lists(fragments | st.binary(max_size=30), max_size=12).map(b"".join)
contents = contents.filter(lambda content: b"\r\n--" + BOUNDARY not in b"\r\n" + content)
names = st.text("abc_[]ü", min_size=1, max_size=8)
files = st.tuples(
    names, st.text("abcé .", max_size=12).map(safe_filename), st.just("a/b"), contents
)
fields = st.tuples(
    names, st.just(""), st.just(""), st.text("aé\r\n-", max_size=20).map(str.encode)
).filter(lambda part: BOUNDARY not in part[3])
forms = st.lists(files | fields, max_size=5)


def encoded(parts: Iterable[Part]) -> bytes:
    body = b""
    for name, filename, content_type, content in parts:
        body += b'--x-form\r\nContent-Disposition: form-data; name="' + name.encode() + b'"'
        if filename:
            body += b'; filename="' + filename.encode() + b'"'
            body += b"\r\nContent-Type: " + content_type.encode()
        body += b"\r\n\r\n" + content + b"\r\n"
    return body + b"--x-form--\r\n"


def request(pieces: Iterable[bytes], content_type: str = CONTENT_TYPE) -> Request:
    waiting = iter([*pieces, b""])

    async def receive() -> Message:
        piece = next(waiting)
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    headers = [(b"content-type", content_type.encode("latin-1"))]
    return Request({"type": "http", "headers": headers}, receive)


async def parts_of(form: Request, limits: FormLimits | None = None) -> list[Part]:
    found = []
    async for part in read_form(form, limits):
        if isinstance(part, FormFile):
            content = b"".join([chunk async for chunk in part.chunks])
            found.append((part.name, part.filename, part.content_type, content))
        else:
            found.append((part.name, "", "", part.value.encode()))
    return found


def read(body: bytes, limits: FormLimits | None = None) -> list[Part]:
    return asyncio.run(parts_of(request([body]), limits))


@given(forms, st.lists(st.integers(0, 400), max_size=12))
def test_a_form_has_the_same_parts_however_it_is_cut(parts: list[Part], cuts: list[int]) -> None:
    body = encoded(parts)
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    pieces = [body[start:end] for start, end in pairwise(places)]
    assert asyncio.run(parts_of(request(pieces))) == parts


@given(forms, st.data())
def test_a_form_that_ends_early_never_looks_whole(parts: list[Part], data: st.DataObject) -> None:
    body = encoded(parts)
    end = data.draw(st.integers(0, len(body) - len(b"-\r\n") - 1))
    with pytest.raises(InvalidInput) as caught:
        read(body[:end])
    assert caught.value.reason == "MULTIPART_CUT_OFF"


@given(st.lists(fragments | st.binary(max_size=50), max_size=10).map(b"".join))
def test_any_bytes_are_a_form_or_a_typed_error(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(b"--x-form\r\n" + body + b"no end")


async def test_a_file_is_handed_on_before_more_of_the_body_is_read() -> None:
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        head = b'--x-form\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        return {
            "type": "http.request",
            "body": head if taken == 1 else bytes(3 * CHUNK_BYTES_MAX),
            "more_body": True,
        }

    headers = [(b"content-type", CONTENT_TYPE.encode())]
    form = read_form(Request({"type": "http", "headers": headers}, receive))
    part = await anext(form)
    assert isinstance(part, FormFile)
    for count in range(1, 30):
        assert len(await anext(part.chunks)) <= CHUNK_BYTES_MAX
        assert taken <= 2 + count // 3


async def test_what_is_not_read_of_a_file_is_skipped() -> None:
    body = encoded([("f", "f.bin", "a/b", bytes(1000)), ("purpose", "", "", b"vision")])
    found = []
    async for part in read_form(request([body[i : i + 50] for i in range(0, len(body), 50)])):
        if isinstance(part, FormFile):
            await anext(part.chunks)
        found.append(part.name)
    assert found == ["f", "purpose"]


async def test_a_client_that_goes_away_is_a_body_that_ends_early() -> None:
    messages: AsyncIterator[Message]

    async def arriving() -> AsyncIterator[Message]:
        body = encoded([("f", "f.bin", "a/b", bytes(1000))])
        yield {"type": "http.request", "body": body[:500], "more_body": True}
        yield {"type": "http.disconnect"}

    messages = arriving()
    headers = [(b"content-type", CONTENT_TYPE.encode())]
    scope = {"type": "http", "headers": headers}
    with pytest.raises(InvalidInput) as caught:
        await parts_of(Request(scope, lambda: anext(messages)))
    assert caught.value.reason == "MULTIPART_CUT_OFF"


HEAD = b'--x-form\r\nContent-Disposition: form-data; name="f"'
TAIL = b"\r\n\r\nv\r\n--x-form--"


@pytest.mark.parametrize(
    "body, reason",
    [
        (b"", "MULTIPART_CUT_OFF"),
        (b"{}", "MULTIPART_MALFORMED"),
        (b"--x-form\r\n\r\nv\r\n--x-form--", "MULTIPART_MALFORMED"),
        (b"--x-form\r\nContent-Disposition: attachment; name=f" + TAIL, "MULTIPART_MALFORMED"),
        (b'--x-form\r\nContent-Disposition: form-data; name=""' + TAIL, "MULTIPART_MALFORMED"),
        (b'--x-form\r\nContent-Disposition: form-data; name="a\x00"' + TAIL, "MULTIPART_MALFORMED"),
        (HEAD + b"\r\nX: " + b"x" * 5000 + TAIL, "MULTIPART_MALFORMED"),
        (HEAD + b"\r\nX: y" * 20 + TAIL, "MULTIPART_MALFORMED"),
        (HEAD + b'; filename="f"\r\nContent-Type: a b' + TAIL, "PART_TYPE_INVALID"),
        (HEAD + b'; filename="f"\r\nContent-Type: multipart/mixed' + TAIL, "PART_TYPE_INVALID"),
        (HEAD + b"\r\n\r\n\xff\r\n--x-form--", "FIELD_NOT_UTF8"),
    ],
)
def test_a_bad_body_is_told_as_what_it_is(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=" + "b" * 71],
)
def test_what_is_no_form_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        asyncio.run(parts_of(request([encoded([])], content_type)))
    assert caught.value.reason == "NOT_MULTIPART"


@pytest.mark.parametrize(
    "parts, reason",
    [
        ([("a", "", "", b"1")] * 4, "TOO_MANY_PARTS"),
        ([("a", "f", "a/b", b"1")] * 4, "TOO_MANY_PARTS"),
        ([("a", "", "", b"1" * 60), ("b", "", "", b"1" * 60)], "FIELDS_TOO_LARGE"),
        ([("a" * 101, "", "", b"1")], "FIELD_NAME_TOO_LONG"),
    ],
)
def test_a_form_past_its_limits_is_refused(parts: list[Part], reason: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(encoded(parts), FormLimits(part_count=3, field_bytes=100))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "sent, kept",
    [
        ("harbour.jpg", "harbour.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\picture.png", "picture.png"),
        ("/abs/olute.mp4", "olute.mp4"),
        ("a\x00b\r\nX-Evil: 1\u202egpj.exe", "abX-Evil: 1gpj.exe"),
        ("", UNNAMED),
        ("..", UNNAMED),
        ("dir/", UNNAMED),
        ("a" * 400 + ".mp4", "a" * 251 + ".mp4"),
    ],
)
def test_a_file_name_is_a_name_and_no_path(sent: str, kept: str) -> None:
    assert safe_filename(sent) == kept


@given(st.text())
def test_a_safe_file_name_stays_as_it_is(name: str) -> None:
    safe = safe_filename(name)
    assert safe_filename(safe) == safe
    assert 1 <= len(safe) <= FILENAME_CHARACTERS_MAX
    assert "/" not in safe and "\\" not in safe and safe.isprintable()
