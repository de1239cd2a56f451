"""Frames of a WebSocket: what they mean as messages of the contract."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.http.frames import FrameReader
from services.runtime.errors import InvalidInput, OutOfOrder

Pieces = list[tuple[bytes, bool]]


def started(asset_id: str) -> FrameReader:
    reader = FrameReader()
    reader.text(json.dumps({"turnId": "t", "assetStart": {"assetId": asset_id}}))
    return reader


def chunk(asset_id: str, offset: int, data: bytes) -> str:
    encoded = base64.b64encode(data).decode()
    message = {"assetId": asset_id, "offset": str(offset), "data": encoded}
    return json.dumps({"turnId": "t", "chunk": message})


@given(st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=12))
def test_bytes_follow_one_another_whichever_kind_of_frame_brings_them(pieces: Pieces) -> None:
    reader = started("a")
    received = b""
    for data, in_json in pieces:
        frame = chunk("a", len(received), data)
        message = reader.text(frame) if in_json else reader.binary(data)
        assert message.turn_id == "t"
        assert (message.chunk.asset_id, message.chunk.offset) == ("a", len(received))
        received += message.chunk.data
    assert received == b"".join(data for data, _ in pieces)


def test_an_upload_is_resumed_by_a_chunk_that_says_where() -> None:
    reader = started("a")
    reader.text(chunk("a", 1000, b""))
    assert reader.binary(b"abc").chunk.offset == 1000


def test_binary_frames_belong_to_the_asset_announced_last() -> None:
    reader = started("a")
    reader.binary(b"12345")
    reader.text(json.dumps({"turnId": "t", "assetStart": {"assetId": "b"}}))
    # What is sent of another asset moves nothing.
    reader.text(chunk("a", 5, b"678"))
    message = reader.binary(b"x")
    assert (message.chunk.asset_id, message.chunk.offset) == ("b", 0)


def test_bytes_of_no_asset_are_refused() -> None:
    with pytest.raises(OutOfOrder, match="ASSET_NOT_STARTED"):
        FrameReader().binary(b"x")
    reader = started("a")
    reader.text(json.dumps({"turnId": "t", "assetFinish": {"assetId": "a", "sizeBytes": "0"}}))
    with pytest.raises(OutOfOrder, match="ASSET_NOT_STARTED"):
        reader.binary(b"x")


@pytest.mark.parametrize(
    "frame",
    [
        "[",
        "[" * 50_000,
        '{"nothing": 1}',
        '{"turnId": "\\ud800"}',
        '{"turnId": "a", "turnId": "b"}',
        '{"chunk": {"offset": "-1"}}',
        '{"endTurn": {}, "cancelTurn": {}}',
    ],
)
def test_what_is_no_message_is_told_in_one_line(frame: str) -> None:
    with pytest.raises(InvalidInput, match="MESSAGE_MALFORMED") as raised:
        FrameReader().text(frame)
    assert len(raised.value.message) < 300
    assert "\n" not in raised.value.message
