"""Every kind of bad input has its own typed error."""

import hashlib

import pytest

from tests import media
from tests.contract.ingest.conftest import Ingest, Request, chunks, config, finish, start, whole

JPEG = media.jpeg()
INVALID, OUT_OF_RANGE, PRECONDITION = 3, 11, 9


def half_hour_and_a_bit() -> bytes:
    """31 minutes of silence."""
    return (
        media.wav(media.tone(0.0))[:40] + (31 * 60 * 32_000).to_bytes(4, "little") + bytes(200_000)
    )


@pytest.mark.parametrize(
    ("content", "name", "reason", "code"),
    [
        (b"", "", "EMPTY_FILE", INVALID),
        (media.TEXT.encode(), "photo.jpg", "TYPE_MISMATCH", INVALID),
        (media.truncated_mp4(), "", "MEDIA_TRUNCATED", INVALID),
        (media.faststart_mp4()[:30_000], "", "MEDIA_TRUNCATED", INVALID),
        (JPEG[: len(JPEG) // 2], "", "MEDIA_TRUNCATED", INVALID),
        (media.png_bomb(), "", "IMAGE_TOO_LARGE", OUT_OF_RANGE),
        (media.HLS_PLAYLIST, "clip.mp4", "UNSUPPORTED_MEDIA", INVALID),
        (b"\x00\x01\x02\x03" * 100, "", "UNSUPPORTED_MEDIA", INVALID),
        (b"RIFF\x00\x00\x00\x00WAVEgarbage-garbage" * 300, "", "MEDIA_UNREADABLE", INVALID),
        (half_hour_and_a_bit(), "", "MEDIA_TOO_LONG", OUT_OF_RANGE),
    ],
    ids=[
        *("empty", "text-as-jpg", "cut-mp4", "cut-faststart", "cut-jpeg", "bomb", "playlist"),
        *("unknown", "garbage", "31-minutes"),
    ],
)
@pytest.mark.parametrize("store_only", [False, True])
async def test_bad_file(
    ingest: Ingest, content: bytes, name: str, reason: str, code: int, store_only: bool
) -> None:
    if store_only and content == JPEG[: len(JPEG) // 2]:
        pytest.skip("storing alone reads only a picture's header")
    events = await ingest.send(whole("bad", content, name), store_only=store_only)
    assert (events.error.reason, events.error.code) == (reason, code)
    assert ingest.visible() == []
    assert ingest.parts() == []
    assert ingest.engine.active_decoders == 0


async def test_stream_of_unknown_length_is_cut_off_at_the_limit(ingest: Ingest) -> None:
    content = media.endless_wav(media.tone(1801, 8000), 8000)
    events = await ingest.send(whole("s", content))
    assert events.error.reason == "MEDIA_TOO_LONG"
    assert "30 minutes" in events.error.message


async def test_wrong_sha256_commits_nothing(ingest: Ingest) -> None:
    wrong = hashlib.sha256(b"other").hexdigest()
    events = await ingest.send([start("a"), *chunks("a", JPEG), finish("a", JPEG, wrong)])
    assert events.error.reason == "CHECKSUM_MISMATCH"
    assert ingest.visible() == ingest.parts() == []


async def test_wrong_size_commits_nothing(ingest: Ingest) -> None:
    events = await ingest.send([start("a"), *chunks("a", JPEG), finish("a", JPEG + b"x")])
    assert events.error.reason == "SIZE_MISMATCH"
    announced = await ingest.send([start("a", size_bytes=10), *chunks("a", JPEG)])
    assert announced.error.reason == "SIZE_MISMATCH"
    assert ingest.visible() == []


async def test_chunks_out_of_order_name_the_offset_expected(ingest: Ingest) -> None:
    pieces = chunks("a", JPEG, size=4096)
    events = await ingest.send([start("a"), pieces[0], pieces[2], pieces[1], finish("a", JPEG)])
    assert events.error.reason == "CHUNK_OFFSET_MISMATCH"
    assert "4096" in events.error.message
    assert ingest.visible() == []


async def test_mistakes_of_protocol_end_the_stream(ingest: Ingest) -> None:
    assert (await ingest.failing(chunks("a", JPEG))).reason == "ASSET_NOT_STARTED"
    assert (await ingest.failing([config()])).reason == "CONFIG_REPEATED"
    assert (await ingest.failing([Request()])).reason == "EMPTY_MESSAGE"
    assert (await ingest.failing([], store_only=True, ephemeral=True)).reason == "CONFIG_CONFLICT"
    twice = await ingest.failing([start("a"), start("a")])
    assert (twice.reason, twice.code) == ("ASSET_REPEATED", PRECONDITION)


async def test_names_that_could_be_paths_are_refused(ingest: Ingest) -> None:
    events = await ingest.send(whole("../../etc/passwd", JPEG))
    assert events.error.reason == "ASSET_ID_INVALID"
    named = await ingest.send(whole("a", JPEG, "http://127.0.0.1:9/x.m3u8"))
    assert named.asset.info.name == "http://127.0.0.1:9/x.m3u8"
    assert await ingest.send([start("b", "n" * 256)]) is not None


@pytest.mark.parametrize(
    "metadata",
    [
        {f"key{number}": "" for number in range(33)},
        {"long": "x" * 257},
        {"": "x"},
        {"a=b": "x"},
        {"Upper": "x"},
        {"k" * 65: "x"},
    ],
    ids=["33 entries", "long value", "no key", "equals sign", "capital", "long key"],
)
async def test_metadata_past_its_limits_is_refused(
    ingest: Ingest, metadata: dict[str, str]
) -> None:
    events = await ingest.send([start("a", metadata=metadata), *chunks("a", JPEG)])
    assert (events.error.reason, events.error.subject) == (
        "METADATA_INVALID",
        "asset_start.metadata",
    )
    assert ingest.visible() == ingest.parts() == []


async def test_metadata_is_kept_as_it_was_given(ingest: Ingest) -> None:
    metadata = {"a.b_c-1": "it's = 'quoted'\n\x00森", "empty": ""}
    messages = [start("a", metadata=metadata), *chunks("a", JPEG), finish("a", JPEG)]
    assert dict((await ingest.send(messages)).asset.metadata) == metadata
