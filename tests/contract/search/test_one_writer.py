"""Several search processes on one index: one writes, all read, and writes go to the one."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.calls import CallScope, call_unary, to_domain
from services.runtime.errors import Unavailable
from services.search.stage import build
from tests.contract.search.search_process import search_process
from tests.contract.search.test_search_service import (
    document,
    embedding,
    hit_ids,
    index,
    search,
)
from tests.harness import make_settings, serve_all
from tests.object_server import ObjectServer, object_server
from tests.pipeline.platform import until

LEASE_S = 3.0
TAKEN_WITHIN_S = 30.0


@contextlib.asynccontextmanager
async def search_service(folder: Path, index_url: str) -> AsyncIterator[Any]:
    """A search service in this process, with a data folder of its own."""
    settings = make_settings(folder, index_url=index_url, index_lease_s=LEASE_S)
    async with serve_all({"search": build}, settings) as (channel, _):
        yield search_pb2_grpc.SearchServiceStub(channel)


async def delete(stub: Any, asset_id: str, tenant: str = "default") -> int:
    request = search_pb2.DeleteDocumentsRequest(asset_ids=[asset_id])
    answer = await call_unary(stub.DeleteDocuments, request, CallScope(tenant))
    return int(answer.document_count)


async def found_by(stub: Any, tenant: str = "default") -> list[str]:
    query = search_pb2.SearchQuery(embedding=embedding(1, 0), top_k=1000)
    _, result, _ = await search(stub, query, tenant=tenant)
    return sorted(hit_ids(result))


async def at_last(call: Callable[[], Awaitable[Any]]) -> None:
    """Make a call as a client does: again, when told to come back later."""

    async def succeeds() -> bool:
        try:
            await call()
        except Unavailable as error:
            assert error.retry_after_s
            return False
        except grpc.aio.AioRpcError as error:
            told = to_domain(error, "search")
            assert isinstance(told, Unavailable) and told.retry_after_s
            return False
        return True

    await until(succeeds, TAKEN_WITHIN_S, "the call succeeds")


async def test_a_second_process_reads_itself_and_sends_its_writes_to_the_first(
    tmp_path: Path,
) -> None:
    url = str(tmp_path / "index")
    async with (
        search_service(tmp_path / "a", url) as writer,
        search_service(tmp_path / "b", url) as other,
    ):
        bad = document("bad", 1, 0, asset_id="")
        events = await index(other, document("d0", 1, 0), bad, tenant="acme")
        kinds = [event.WhichOneof("event") for event in events]
        assert (kinds[0], kinds[-1]) == ("ready", "summary")
        assert sorted(map(str, kinds[1:-1])) == ["ack", "item_error"]
        assert events[-1].summary.document_count == 1
        await index(writer, document("d1", 1, 0), tenant="acme")
        for stub in (writer, other):
            assert await found_by(stub, "acme") == ["d0", "d1"]
            assert await found_by(stub, "other") == []
        assert await delete(other, "clip", "other") == 0
        assert await delete(other, "clip", "acme") == 2
        assert await found_by(writer, "acme") == []


async def test_when_the_writer_stops_the_next_write_makes_another_one(tmp_path: Path) -> None:
    url = str(tmp_path / "index")
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(search_service(tmp_path / "a", url))
        async with search_service(tmp_path / "b", url) as second:
            await index(second, document("d0", 1, 0))
            assert await found_by(first) == ["d0"]
            await stack.aclose()
            await index(second, document("d1", 1, 0))
            assert await found_by(second) == ["d0", "d1"]


# --- on an object store ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with object_server(tmp_path_factory.mktemp("objects")) as server:
        server.store("index").put("made", b"")
        yield server


@pytest.fixture
def bucket(objects: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> ObjectServer:
    for name, value in objects.environment.items():
        monkeypatch.setenv(name, value)
    return objects


async def test_a_bucket_that_is_not_there_stops_the_start(
    bucket: ObjectServer, tmp_path: Path
) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with search_service(tmp_path, "s3://nowhere/at-all"):
            pass
    error = caught.value.exceptions[0]
    assert isinstance(error, Unavailable)
    assert (error.reason, error.subject) == ("INDEX_UNREACHABLE", "SENSORIUM_INDEX_URL")


async def test_the_lease_holds_in_a_bucket_whoever_races_and_whatever_befalls_the_writer(
    bucket: ObjectServer, tmp_path: Path
) -> None:
    url = "s3://index/raced"
    variables = {
        "SENSORIUM_DATA_DIR": str(tmp_path / "a"),
        "SENSORIUM_INDEX_URL": url,
        "SENSORIUM_INDEX_LEASE_S": str(LEASE_S),
    }
    async with (
        search_process(variables) as first,
        search_service(tmp_path / "b", url) as second,
    ):
        # Both are told the same documents, enough of them one by one for a compaction.
        documents = [document(f"d{n}", 1, n, asset_id=f"asset-{n}") for n in range(24)]

        async def tell(stub: Any) -> None:
            for one in documents:
                await at_last(partial(index, stub, one))

        async def watch(stub: Any) -> None:
            seen: list[str] = []
            while len(seen) < len(documents):
                before, seen = seen, await found_by(stub)
                assert len(seen) == len(set(seen)) and set(before) <= set(seen)

        await asyncio.gather(tell(first.stub), tell(second), watch(first.stub), watch(second))
        # Frozen past its term, the first is replaced; awake again, it sends its writes on.
        os.kill(first.process.pid, signal.SIGSTOP)
        await at_last(lambda: index(second, document("while frozen", 1, 0)))
        await at_last(lambda: delete(second, "asset-0"))
        os.kill(first.process.pid, signal.SIGCONT)
        await at_last(lambda: index(first.stub, document("awake", 1, 0)))
        expected = sorted([f"d{n}" for n in range(1, 24)] + ["awake", "while frozen"])
        for stub in (first.stub, second):
            assert await found_by(stub) == expected
