"""Byte ranges: what a header asks for, of a whole of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.files.ranges import ByteRange, NotSatisfiable, parse_range


@pytest.mark.parametrize(
    "header, start, length",
    [
        ("bytes=0-", 0, 100),
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 10),
        ("bytes=90-1000", 90, 10),
        ("bytes=-10", 90, 10),
        ("bytes=-1000", 0, 100),
        ("Bytes = 5 - 9", 5, 5),
    ],
)
def test_a_range_lies_within_the_whole(header: str, start: int, length: int) -> None:
    assert parse_range(header, 100) == ByteRange(start, length)


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_of_the_whole_is_refused(header: str) -> None:
    with pytest.raises(NotSatisfiable):
        parse_range(header, 100)


@pytest.mark.parametrize(
    "header", ["", "bytes", "bytes=-", "bytes=9-5", "bytes=1-2,5-6", "lines=1-2", "bytes=a-b"]
)
def test_what_is_no_single_range_asks_for_all(header: str) -> None:
    assert parse_range(header, 100) is None


@given(st.integers(0, 1000), st.none() | st.integers(0, 1000), st.integers(1, 1000))
def test_a_range_is_what_a_slice_is(first: int, last: int | None, size: int) -> None:
    whole = bytes(i % 251 for i in range(size))
    header = f"bytes={first}-{'' if last is None else last}"
    wanted = whole[first:] if last is None else whole[first : last + 1]
    try:
        found = parse_range(header, size)
    except NotSatisfiable:
        assert wanted == b""
        return
    if found is None:
        assert last is not None and last < first
        return
    assert whole[found.start : found.start + found.length] == wanted
    told = f"bytes {found.start}-{found.start + found.length - 1}/{size}"
    assert found.content_range(size) == told
