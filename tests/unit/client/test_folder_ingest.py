"""``sensorium ingest``: every file gets its outcome, and a second run does only what is left."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from sensorium_client import Client
from sensorium_client.bulk.folder import BulkOptions, FolderIngest
from sensorium_client.bulk.hashes import Hashes, opened_hashes
from sensorium_client.bulk.outcome import FileOutcome, FileStatus
from sensorium_client.bulk.retry import Backoff
from sensorium_client.bulk.walk import find_files
from sensorium_client.errors import SensoriumClientError

from tests.unit.client.fake_gateway import FakeGateway, serve
from tests.unit.client.test_commands import json_lines, run, start

_FAST = Backoff(initial_s=0.01, longest_s=0.02, attempts_max=4)


def write_files(folder: Path, count: int) -> None:
    """Texts that differ, over two folders."""
    for index in range(count):
        path = folder / f"{index % 2}" / f"{index:03}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"text {index}")


async def ingest(client: Client, folder: Path) -> list[FileOutcome]:
    """The outcomes of a folder."""
    folder_ingest = FolderIngest(client, BulkOptions(backoff=_FAST), Hashes())
    return [
        told
        async for told in folder_ingest.run(find_files([folder]))
        if isinstance(told, FileOutcome)
    ]


async def test_the_command_reports_each_file_and_fails_if_one_did(
    address: str, gateway: FakeGateway, tmp_path: Path
) -> None:
    folder, report = tmp_path / "folder", tmp_path / "report.json"
    (folder / "sub").mkdir(parents=True)
    (folder / "one.txt").write_text("one")
    (folder / "sub" / "two.txt").write_text("two")
    (folder / "sub" / "bad.jpg").write_text("bad")
    (folder / ".hidden").write_text("hidden")
    gateway.refused_names = {"sub/bad.jpg"}

    code, out, _ = await run(address, "ingest", str(folder), "--report", str(report))
    assert code == 1
    assert "2 stored, 0 already there, 1 failed" in out
    for word in ("sub/bad.jpg", "MEDIA_UNREADABLE", "This is no picture."):
        assert word in out
    written = json.loads(report.read_text())
    counts = {key: written[key] for key in ("file_count", "stored", "skipped", "failed", "left")}
    assert counts == {"file_count": 3, "stored": 2, "skipped": 0, "failed": 1, "left": 0}
    assert {file["path"]: file["status"] for file in written["files"]} == {
        "one.txt": "stored",
        "sub/two.txt": "stored",
        "sub/bad.jpg": "failed",
    }

    arguments = ("ingest", str(folder), "--exclude", "*.jpg", "--json")
    code, out, _ = await run(address, *arguments)
    assert code == 0
    lines = json_lines(out)
    assert [line["type"] for line in lines] == ["file", "file", "report"]
    assert {line["status"] for line in lines[:2]} == {"skipped"}


async def test_a_broken_stream_is_tried_again_and_nothing_is_sent_twice(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    write_files(tmp_path, 150)
    gateway.uploads_to_break = 3
    outcomes = await ingest(client, tmp_path)
    assert len(outcomes) == 150
    assert {outcome.status for outcome in outcomes} <= {FileStatus.STORED, FileStatus.SKIPPED}
    assert {asset.info.name for asset in gateway.by_id.values()} == {
        f"{index % 2}/{index:03}.txt" for index in range(150)
    }
    assert gateway.uploads_to_break == 0


async def test_what_never_passes_fails_in_the_end(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    write_files(tmp_path, 10)
    gateway.uploads_to_break = 100
    outcomes = await ingest(client, tmp_path)
    failed = [outcome for outcome in outcomes if outcome.status is FileStatus.FAILED]
    # One is stored in each of four attempts.
    assert (len(outcomes), len(failed)) == (10, 6)
    assert {outcome.failure.reason for outcome in failed if outcome.failure} == {"SHUTTING_DOWN"}


async def test_a_server_that_does_not_come_back_ends_the_run(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    write_files(tmp_path, 10)
    gateway.holds_uploads = True
    server, address = await serve(gateway)
    options = BulkOptions(backoff=_FAST, away_s_max=0.1)

    async def send() -> None:
        async with Client(address) as client:
            async for _ in FolderIngest(client, options, Hashes()).run(find_files([tmp_path])):
                pass

    sending = asyncio.create_task(send())
    async with asyncio.timeout(60):
        await gateway.receiving.wait()
        await server.stop(0)
        with pytest.raises(SensoriumClientError, match="SERVER_GONE"):
            await sending


async def test_equal_bytes_at_two_places_are_two_assets_and_a_second_run_sends_neither(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text("same")
    first = await ingest(client, tmp_path)
    assert [outcome.status for outcome in first] == [FileStatus.STORED] * 2
    assert {asset.info.name for asset in gateway.by_id.values()} == {"one.txt", "two.txt"}
    gateway.assets.clear()
    second = await ingest(client, tmp_path)
    assert [outcome.status for outcome in second] == [FileStatus.SKIPPED] * 2
    assert {outcome.asset_id for outcome in second} == {outcome.asset_id for outcome in first}
    assert gateway.assets == {}


async def test_a_file_stored_in_another_way_is_not_sent_again(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"film")
    stored = [event async for event in client.upload([path])]
    assert stored
    gateway.assets.clear()
    (outcome,) = await ingest(client, tmp_path)
    assert outcome.status is FileStatus.SKIPPED
    assert [asset.asset_id for asset in gateway.by_id.values()] == [outcome.asset_id]
    assert gateway.assets == {}


async def test_a_name_that_is_no_utf8_is_stored_under_one_that_is(
    address: str, gateway: FakeGateway, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / os.fsdecode(b"caf\xe9.txt")
    path.write_text("text")
    arguments = ("ingest", str(folder), "--journal", str(tmp_path / "journal"), "--json")
    for status in ("stored", "skipped"):
        code, out, error = await run(address, *arguments)
        assert (code, error) == (0, "")
        told = json_lines(out)[0]
        assert (told["path"], told["status"]) == ("caf\ufffd.txt", status)
    assert [asset.info.name for asset in gateway.by_id.values()] == ["caf\ufffd.txt"]


async def test_an_unreadable_file_does_not_stop_the_others(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    write_files(tmp_path, 6)
    listed = list(find_files([tmp_path]))
    listed[2].path.unlink()
    told = [each async for each in FolderIngest(client, BulkOptions(), Hashes()).run(listed)]
    outcomes = [each for each in told if isinstance(each, FileOutcome)]
    failed = [outcome for outcome in outcomes if outcome.status is FileStatus.FAILED]
    assert [outcome.file for outcome in failed] == [listed[2]]
    assert failed[0].failure
    assert failed[0].failure.reason == "FILE_UNREADABLE"
    assert len(gateway.by_id) == 5


async def test_an_interrupted_run_ends_with_its_report(
    address: str, gateway: FakeGateway, tmp_path: Path
) -> None:
    write_files(tmp_path, 5)
    gateway.holds_uploads = True
    process = await start(address, "ingest", str(tmp_path))
    async with asyncio.timeout(60):
        await gateway.receiving.wait()
        process.send_signal(signal.SIGINT)
        out, error = await process.communicate()
    assert process.returncode == 130
    assert "5 not come to" in out.decode()
    assert "Traceback" not in error.decode()


async def test_labels_travel_with_every_file(
    address: str, gateway: FakeGateway, tmp_path: Path
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    labels = ("--tag", "sea", "--tag", "sun", "--meta", "project=harbour")
    code, _, _ = await run(address, "ingest", str(tmp_path), *labels)
    assert code == 0
    starts = [received.start for received in gateway.assets.values()]
    assert [(list(s.tags), dict(s.metadata)) for s in starts] == [
        (["sea", "sun"], {"project": "harbour"})
    ] * 2


async def test_a_journal_saves_reading_and_a_wrong_one_costs_nothing_but_time(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    folder, journal = tmp_path / "folder", tmp_path / "journal"
    folder.mkdir()
    write_files(folder, 4)

    async def run() -> list[FileOutcome]:
        with opened_hashes(journal) as hashes:
            ingest = FolderIngest(client, BulkOptions(backoff=_FAST), hashes)
            return [
                told
                async for told in ingest.run(find_files([folder]))
                if isinstance(told, FileOutcome)
            ]

    first = await run()
    path = first[0].file.path
    status = path.stat()
    changed = "TEXT" + path.read_text()[4:]
    path.write_text(changed)
    # Size and time as before: by the journal it is unchanged.
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert {outcome.status for outcome in await run()} == {FileStatus.SKIPPED}

    # A server that has nothing finds the hash wrong; it is taken again.
    gateway.stored.clear()
    gateway.by_id.clear()
    assert {outcome.status for outcome in await run()} == {FileStatus.STORED}
    assert changed.encode() in {bytes(asset.data) for asset in gateway.assets.values()}
