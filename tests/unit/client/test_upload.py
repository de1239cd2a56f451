"""Storing files: resumed where they stopped, skipped where they are known, each on its own."""

import hashlib
from pathlib import Path

import pytest
from sensorium.media.v1 import media_pb2
from sensorium_client import Client, SensoriumClientError, events
from sensorium_client.locators import TimeSpan

from tests.unit.client.fake_gateway import FakeGateway


def sha256(data: bytes) -> str:
    """Of some bytes."""
    return hashlib.sha256(data).hexdigest()


async def upload(client: Client, *paths: Path) -> list[events.Event]:
    """All the events."""
    return [event async for event in client.upload(paths)]


async def test_files_are_stored_whole(client: Client, gateway: FakeGateway, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.bin" for index in range(9)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index]) * (30_000 * index + 1))

    got = await upload(client, *paths)

    assert {bytes(asset.data) for asset in gateway.assets.values()} == {
        path.read_bytes() for path in paths
    }
    assert sum(isinstance(event, events.AssetStored) for event in got) == 9
    assert isinstance(got[-1], events.UploadSummary)
    assert got[-1].asset_count == 9


async def test_interrupted_upload_goes_on_where_it_is_durable(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 2000
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    gateway.durable[sha256(data)] = data[:300_000]

    await upload(client, path)

    asset = gateway.assets[sha256(data)]
    assert asset.offsets[0] == 300_000
    assert bytes(asset.data) == data
    assert await client.durable_bytes(sha256(data)) == 300_000


async def test_second_run_sends_nothing(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film")
    await upload(client, path)
    gateway.assets.clear()

    got = await upload(client, path)

    assert gateway.assets == {}
    assert got == [
        events.AlreadyStored(
            name="film.mp4", asset_id=sha256(b"film"), sha256=sha256(b"film"), size_bytes=4
        )
    ]


async def test_equal_files_travel_once(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_bytes(b"same")
    two.write_bytes(b"same")

    got = await upload(client, one, two)

    assert len(gateway.assets) == 1
    assert [e.name for e in got if isinstance(e, events.AlreadyStored)] == ["two.txt"]


async def test_bad_file_does_not_stop_the_others(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{index}.jpg" for index in range(6)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index]))
    gateway.refused_names = {"1.jpg", "4.jpg"}

    got = await upload(client, *paths)

    assert {e.item_id for e in got if isinstance(e, events.ItemFailed)} == {
        sha256(b"\x01"),
        sha256(b"\x04"),
    }
    assert sum(isinstance(event, events.AssetStored) for event in got) == 4


async def test_refused_file_has_no_id(client: Client, gateway: FakeGateway, tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"bad")
    gateway.refused_names = {"bad.jpg"}
    with pytest.raises(SensoriumClientError) as caught:
        await client.stored_asset_id(path)
    assert (caught.value.reason, caught.value.subject) == ("MEDIA_UNREADABLE", "bad.jpg")


async def test_small_picture_is_searched_by_its_bytes_and_a_large_one_by_its_id(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    small, large = tmp_path / "small.jpg", tmp_path / "large.jpg"
    small.write_bytes(b"small")
    large.write_bytes(bytes((3 << 20) + 1))

    hits = await client.search(image=small, modalities=["video"], top_k=3)
    await client.search(image=large)

    assert gateway.searches[0].parts[0].media == b"small"
    assert list(gateway.searches[0].modalities) == [media_pb2.MODALITY_VIDEO]
    assert gateway.searches[1].parts[0].asset_id == sha256(large.read_bytes())
    (match,) = hits[0].matches
    assert (match.preview_text, match.locator.span) == (
        "a red lighthouse",
        TimeSpan(3.5, 5.0),
    )
    with pytest.raises(ValueError, match="exactly one"):
        await client.search(text="both", asset_id="a")


async def test_assets_are_listed_over_all_pages(client: Client, gateway: FakeGateway) -> None:
    for index in range(7):
        gateway.stored[str(index)] = media_pb2.Asset(asset_id=f"a{index}", sha256=str(index))
    listed = [asset.asset_id async for asset in client.list_assets(page_size=3)]
    assert listed == [f"a{index}" for index in range(7)]


async def test_speech_is_written_out_in_order(client: Client) -> None:
    got = [event async for event in client.transcribe(asset_id="a1")]
    assert [event.text for event in got] == ["The lighthouse is old.", "The river is wide."]
    assert [event.span.start_s for event in got] == [0.0, 1.0]
