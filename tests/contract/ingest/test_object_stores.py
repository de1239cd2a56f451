"""The media store in S3 and in memory: the same as in a folder. A real server, real processes."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sensorium.ingest.v1 import ingest_pb2

from services.ingest.audit import Auditor
from services.ingest.fetched import FetchedFiles
from services.ingest.objects import Objects, open_objects
from services.ingest.records import Keys
from services.ingest.stage import build_engine
from services.ingest.store import MediaStore
from services.runtime.errors import InvalidInput, Unavailable
from tests import media
from tests.contract.ingest.conftest import Ingest, serving, whole
from tests.harness import make_settings
from tests.object_server import ObjectServer, object_server
from tests.unit.ingest.stored import CONTENT, commit, draft

REPOSITORY = Path(__file__).parents[3]
COMMITS = """
import sys
from pathlib import Path
from services.ingest.fetched import FetchedFiles
from services.ingest.objects import open_objects
from services.ingest.store import MediaStore
from tests.unit.ingest.stored import CONTENT, commit
folder, name = Path(sys.argv[1]), sys.argv[2]
objects = open_objects("s3://media/racing", folder, FetchedFiles(folder / name, 0))
store = MediaStore(objects, "space")
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    commit(store, folder, f"{name}-{number}", CONTENT + bytes([number]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with (
        object_server(tmp_path_factory.mktemp("s3")) as running,
        pytest.MonkeyPatch.context() as to,
    ):
        for name, value in running.environment.items():
            to.setenv(name, value)
        # A bucket exists once something was put in it.
        running.store("media").put("made", b"")
        yield running


@pytest.fixture(params=["s3", "memory"])
async def remote(
    request: pytest.FixtureRequest, server: ObjectServer, tmp_path: Path
) -> AsyncIterator[Ingest]:
    url = {"s3": f"s3://media/{tmp_path.name}", "memory": "memory:///"}[request.param]
    async with serving(make_settings(tmp_path, media_url=url)) as ingest:
        yield ingest


def objects_in(objects: Objects) -> list[str]:
    return [info.key for info in objects.listed("tenants")]


async def test_an_asset_is_kept_read_cut_listed_and_deleted(remote: Ingest) -> None:
    stub, engine = remote.stub, remote.engine
    photo = media.jpeg()
    first = (await remote.send(whole("a", photo))).asset
    second = (await remote.send(whole("b", photo))).asset
    assert (first.duplicate_of, second.duplicate_of) == ("", "a")
    for number in range(5):
        await remote.send(whole(f"text-{number}", b"words %d" % number))
    page = await stub.ListAssets(ingest_pb2.ListAssetsRequest(page_size=4))
    rest = await stub.ListAssets(
        ingest_pb2.ListAssetsRequest(page_size=4, page_token=page.next_page_token)
    )
    listed = [asset.asset_id for asset in (*page.assets, *rest.assets)]
    assert listed == ["text-4", "text-3", "text-2", "text-1", "text-0", "b", "a"]
    cut = [event async for event in stub.SegmentAsset(ingest_pb2.SegmentAssetRequest(asset_id="a"))]
    assert [event.WhichOneof("event") for event in cut][-1] == "segments_complete"
    thumbnail = await stub.GetThumbnail(ingest_pb2.GetThumbnailRequest(asset_id="b"))
    assert thumbnail.jpeg.startswith(b"\xff\xd8")
    assert await engine.on_disk(engine.store.read, "default", first.sha256, 10, 20) == photo[10:20]
    for asset_id in listed:
        await stub.DeleteAsset(ingest_pb2.DeleteAssetRequest(asset_id=asset_id))
        await stub.PurgeAsset(ingest_pb2.PurgeAssetRequest(asset_id=asset_id))
    await engine.renderer.stop()
    assert await engine.on_disk(objects_in, engine.store.objects) == []
    assert list((remote.data_dir / "fetched").rglob("*")) == []
    assert remote.visible() == [], "nothing is in the local folder"


async def test_processes_that_commit_the_same_bytes_at_once_agree_on_the_first(
    server: ObjectServer, tmp_path: Path
) -> None:
    names = ("one", "two", "three")
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COMMITS, str(tmp_path), name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0]

    def check() -> None:
        objects = open_objects("s3://media/racing", tmp_path, FetchedFiles(tmp_path / "f", 0))
        store = MediaStore(objects, "space")
        records, _ = store.list_newest("t", 100)
        assert len(records) == 30
        for number in range(10):
            sha256 = hashlib.sha256(CONTENT + bytes([number])).hexdigest()
            having = [record for record in records if record.sha256 == sha256]
            (first,) = (record for record in having if not record.duplicate_of)
            assert [r.duplicate_of for r in having if r is not first] == [first.asset_id] * 2
        assert list(Auditor(store).check("t", deep=True, repair=False)) == []

    await asyncio.to_thread(check)


def test_a_commit_and_a_deletion_of_two_processes_leave_the_bytes_to_who_has_them(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process commits the same bytes at the worst moment: between the look that finds
    no other asset with them, and their removal."""
    monkeypatch.setattr("services.ingest.claims.PATIENCE_S", 0.2)
    folder = FetchedFiles(tmp_path / "fetched", 0)
    here = MediaStore(open_objects("s3://media/worst", tmp_path, folder), "space")
    there = MediaStore(open_objects("s3://media/worst", tmp_path, folder), "space")
    commit(here, tmp_path, "a")
    here.bury("t", "a")
    assert commit(there, tmp_path, "b").duplicate_of == ""
    here.purge("t", "a")
    with there.blob_file("t", draft("b").sha256) as path:
        assert path.read_bytes() == CONTENT
    keys = Keys("t")
    there.bury("t", "b")
    assert here.claims.seal(keys, draft("b").sha256)
    # Sealed: whoever comes waits until the bytes are gone, and brings them again.
    here.objects.delete(keys.blob(draft("b").sha256))
    here.claims.drop(keys, draft("b").sha256)
    assert commit(here, tmp_path, "c").duplicate_of == ""
    there.purge("t", "b")
    with here.blob_file("t", draft("c").sha256) as path:
        assert path.read_bytes() == CONTENT
    assert list(Auditor(here).check("t", deep=True, repair=False)) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [("s3://nobody-made-this/x", "bucket .* does not exist"), ("s3://media/x", "cannot be used")],
)
async def test_a_store_that_is_not_there_stops_the_start(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    if told == "cannot be used":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    engine = build_engine(make_settings(tmp_path, media_url=url))
    with pytest.raises(Unavailable, match=told) as caught:
        await engine.start()
    await engine.stop()
    assert caught.value.subject == "SENSORIUM_MEDIA_URL"


def test_a_url_that_names_no_store_is_refused(tmp_path: Path) -> None:
    for url in ("s3:/bucket", "ftp://host/x", "/a/folder"):
        with pytest.raises(InvalidInput, match="MEDIA_URL_INVALID"):
            open_objects(url, tmp_path, FetchedFiles(tmp_path / "f", 0))


def test_local_copies_are_bounded_and_go_with_their_object(tmp_path: Path) -> None:
    now_s = [0.0]
    fetched = FetchedFiles(tmp_path / "f", 25, clock=lambda: now_s[0])

    def fetch(key: str, target: Path) -> None:
        target.write_bytes(key.encode() * 10)

    def kept() -> int:
        return sum(path.stat().st_size for path in (tmp_path / "f").iterdir())

    with fetched.file("a", fetch) as first:
        for key in "bcd":
            now_s[0] += 1
            with fetched.file(key, fetch) as path:
                assert path.read_bytes() == key.encode() * 10
        assert first.exists(), "one in use stays"
    assert kept() <= 30
    fetched.forget("d")
    now_s[0] += 3601
    fetched.sweep()
    assert kept() == 0
