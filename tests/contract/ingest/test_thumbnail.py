"""Small pictures of stored assets, over a real channel."""

import io
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from PIL import Image
from sensorium.ingest.v1 import ingest_pb2

from tests import media
from tests.contract.ingest.conftest import Ingest, whole
from tests.pipeline.streams import told_by_status

FRAME_MS = 100


def numbered_video(count: int = 40, container: str = "matroska") -> bytes:
    """Ten frames a second, each showing its number."""
    pictures = [media.numbered_frame(number) for number in range(count)]
    times_ms = [FRAME_MS * number for number in range(count)]
    return media.timed_video(pictures, times_ms, container, keyframe_interval=15)


async def thumbnail(ingest: Ingest, asset_id: str, offset_ms: int | None = None) -> Image.Image:
    request = ingest_pb2.GetThumbnailRequest(asset_id=asset_id)
    if offset_ms is not None:
        request.offset.FromMilliseconds(offset_ms)
    response = await ingest.stub.GetThumbnail(request)
    picture = Image.open(io.BytesIO(response.jpeg))
    assert picture.format == "JPEG"
    assert max(picture.size) <= 256
    return picture


async def refused(call: Any) -> tuple[str, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    told = told_by_status(caught.value)
    return told.code, told.reason, told.subject


async def test_a_rotated_phone_photo_is_upright(ingest: Ingest) -> None:
    """As stored it is wide, with its blue corner at the top left; upright that is at the right."""
    await ingest.send(whole("photo", media.jpeg(1600, 1200, orientation=6)))
    small = await thumbnail(ingest, "photo")
    assert small.size == (192, 256)
    corner = small.convert("RGB").getpixel((185, 8))
    assert isinstance(corner, tuple)
    assert corner[2] > 200


@pytest.mark.parametrize("container", ["matroska", "mp4", "mpegts", "flv"])
async def test_a_video_shows_the_frame_of_an_offset(ingest: Ingest, container: str) -> None:
    """With an index and without one."""
    await ingest.send(whole("film", numbered_video(container=container)))
    for number in (0, 1, 14, 15, 21, 39):
        small = await thumbnail(ingest, "film", number * FRAME_MS)
        assert media.shown_number(small) == number


async def test_between_two_frames_the_earlier_one_is_shown(ingest: Ingest) -> None:
    pictures = [media.numbered_frame(number) for number in (0, 1, 2)]
    await ingest.send(whole("film", media.timed_video(pictures, [0, 1000, 1500])))
    assert media.shown_number(await thumbnail(ingest, "film", 900)) == 0
    assert media.shown_number(await thumbnail(ingest, "film", 1100)) == 1


async def test_a_rotated_video_is_upright(ingest: Ingest) -> None:
    await ingest.send(whole("phone", media.rotated_mp4()))
    assert (await thumbnail(ingest, "phone")).size == (192, 256)


async def test_a_live_webm_without_length_has_one_too(ingest: Ingest) -> None:
    await ingest.send(whole("live", media.webm(2.0, live=True)))
    assert (await thumbnail(ingest, "live")).width == 256
    assert (await thumbnail(ingest, "live", 1000)).width == 256


async def test_a_black_beginning_does_not_stand_for_the_video(ingest: Ingest) -> None:
    black = media.numbered_frame(0) * 0
    pictures = [black] * 25 + [media.numbered_frame(77)] * 15
    times_ms = [FRAME_MS * number for number in range(40)]
    await ingest.send(whole("film", media.timed_video(pictures, times_ms)))
    assert media.shown_number(await thumbnail(ingest, "film")) == 77


async def test_what_has_no_picture_says_so(ingest: Ingest) -> None:
    await ingest.send(
        [*whole("sound", media.wav(media.tone(1))), *whole("text", media.TEXT.encode())]
    )
    await ingest.send(whole("film", numbered_video(5)))
    ask, stub = ingest_pb2.GetThumbnailRequest, ingest.stub
    invalid = "INVALID_ARGUMENT"
    for asset_id in ("sound", "text"):
        told = await refused(stub.GetThumbnail(ask(asset_id=asset_id)))
        assert told == (invalid, "NO_PICTURE", asset_id)
    late = ask(asset_id="film", offset=Duration(seconds=9))
    assert await refused(stub.GetThumbnail(late)) == (invalid, "OFFSET_PAST_END", "offset")
    negative = ask(asset_id="film", offset=Duration(seconds=-1))
    assert await refused(stub.GetThumbnail(negative)) == (invalid, "OFFSET_NEGATIVE", "offset")
    told = await refused(stub.GetThumbnail(ask(asset_id="nobody")))
    assert told == ("NOT_FOUND", "ASSET_NOT_FOUND", "nobody")
    request = ask(asset_id="film")
    other = stub.GetThumbnail(request, metadata=(("sensorium-tenant", "other"),))
    assert await refused(other) == ("NOT_FOUND", "ASSET_NOT_FOUND", "film")
