"""Downloads into files: whole or not there, and not begun anew after an interruption."""

import random
from contextlib import closing
from pathlib import Path

import pytest
from sensorium.media.v1 import media_pb2
from sensorium_client import Client
from sensorium_client.downloads import Content, DownloadDamaged, PartFile, complete
from sensorium_client.errors import SensoriumClientError
from sensorium_client.media import file_sha256

from tests.unit.client.fake_downloads import Downloadable
from tests.unit.client.fake_gateway import FakeGateway
from tests.unit.client.test_commands import json_lines, run

DATA = random.Random(5).randbytes(10_500)


def names(folder: Path) -> list[str]:
    """Of the files in a folder."""
    return [path.name for path in folder.iterdir()]


async def fetch(client: Client, folder: Path, shown: list[int] | None = None) -> Content:
    """Download ``a`` by way of a part file, as the command does."""

    def show(content: Content, received_bytes: int) -> None:
        assert content.size_bytes == len(DATA)
        if shown is not None:
            shown.append(received_bytes)

    with closing(PartFile(folder / "part")) as part:
        content = await complete(part, lambda offset: client.download("a", offset=offset), show)
        part.finish(folder / "file")
    return content


async def test_an_interrupted_download_goes_on_where_it_was(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.downloads["a"] = Downloadable(DATA, breaks_at=4000)
    with pytest.raises(SensoriumClientError) as caught:
        await fetch(client, tmp_path)
    assert caught.value.code == "UNAVAILABLE"
    assert (tmp_path / "part").stat().st_size == 4000
    assert not (tmp_path / "file").exists()

    shown: list[int] = []
    await fetch(client, tmp_path, shown)
    assert gateway.download_offsets == [0, 4000]
    assert shown[0] == 4000
    assert shown[-1] == len(DATA)
    assert (tmp_path / "file").read_bytes() == DATA
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("left", [b"of something else", b"x" * (len(DATA) + 1)])
async def test_a_part_of_something_else_is_not_gone_on_with(
    client: Client, gateway: FakeGateway, tmp_path: Path, left: bytes
) -> None:
    gateway.downloads["a"] = Downloadable(DATA)
    (tmp_path / "part").write_bytes(left)
    await fetch(client, tmp_path)
    assert gateway.download_offsets == [len(left), 0]
    assert (tmp_path / "file").read_bytes() == DATA


async def test_what_is_damaged_on_its_way_gets_no_name(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.downloads["a"] = Downloadable(DATA, wrong_at=7000)
    with pytest.raises(DownloadDamaged):
        await fetch(client, tmp_path)
    assert names(tmp_path) == []


async def test_two_downloads_never_write_the_same_part(tmp_path: Path) -> None:
    with closing(PartFile(tmp_path / "part")), pytest.raises(BlockingIOError):
        PartFile(tmp_path / "part")


async def test_the_command_names_the_file_as_it_was_sent_but_below_this_folder(
    address: str, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.downloads["a"] = Downloadable(DATA, name="../../.photo.jpg")
    code, out, _ = await run(address, "download", "a", "--json", folder=tmp_path)
    assert code == 0
    assert names(tmp_path) == ["_.._.photo.jpg"]
    path = tmp_path / "_.._.photo.jpg"
    assert path.read_bytes() == DATA
    (told,) = json_lines(out)
    assert (told["type"], told["path"]) == ("downloaded", path.name)
    assert told["sha256"] == await file_sha256(path)

    gateway.downloads["a"] = Downloadable(DATA, name="../../.photo.jpg", breaks_at=0)
    code, _, error = await run(address, "download", "a", folder=tmp_path)
    assert code == 1
    assert "is there already" in error
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize(("asset", "rendition"), [("../x", ""), ("x", "../../y")])
async def test_the_command_tells_that_there_is_no_such_asset_whatever_it_is_called(
    address: str, tmp_path: Path, asset: str, rendition: str
) -> None:
    code, _, error = await run(
        address, "download", asset, f"--rendition={rendition}", folder=tmp_path
    )
    assert code == 1
    assert "There is no such asset." in error
    assert names(tmp_path) == []


async def test_the_command_takes_a_hash_a_rendition_and_a_range(
    address: str, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.downloads["a"] = Downloadable(DATA, name="film.mp4")
    gateway.stored["0" * 64] = media_pb2.Asset(asset_id="a")
    arguments = ("--rendition", "thumbnail", "--range", "1500-3499")
    code, out, _ = await run(address, "download", "0" * 64, *arguments, folder=tmp_path)
    assert (code, out) == (0, "film.thumbnail.jpg  2.0 kB\n")
    assert (tmp_path / "film.thumbnail.jpg").read_bytes() == DATA[1500:3500]
    code, _, error = await run(address, "download", "a", "--range", "9-3", folder=tmp_path)
    assert code == 2
    assert "FIRST-LAST" in error


async def test_the_command_tells_renditions_and_urls(address: str) -> None:
    code, out, _ = await run(address, "download", "a", "--list")
    assert code == 0
    for expected in ("keyframe-0", "image/jpeg", "640×360", "1.2 kB", "1:02.5"):
        assert expected in out
    code, out, _ = await run(address, "download", "a", "--rendition", "web", "--url")
    assert (code, out) == (0, "https://cdn.example/a/web\n")
