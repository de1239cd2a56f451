"""What was acknowledged survives a kill at any moment."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.calls import CallScope, call_unary, exchange
from services.runtime.errors import SensoriumError
from services.search.stage import build
from tests.contract.search.search_process import search_process
from tests.contract.search.test_search_service import IndexRequest, document, index_config
from tests.harness import make_settings, serve_stage
from tests.pipeline.platform import until

KILLS = 3
CLIENTS = 2
SEED = 7
WITHIN_S = 60.0
DOCUMENTS_OF_AN_ASSET = 4


class Client:
    """Streams documents, deletes every third asset once all of it is acknowledged, and
    notes what it was told."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.assets: list[str] = []
        self.acknowledged: set[str] = set()
        self.deleting: set[str] = set()
        """Assets whose deletion was asked for."""
        self.deleted: set[str] = set()
        """Those whose deletion was acknowledged."""

    async def run(self, stub: Any) -> None:
        """Until the server is gone."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._index(stub))
                group.create_task(self._delete(stub))
        except* SensoriumError:
            pass

    async def _documents(self) -> AsyncIterator[IndexRequest]:
        yield index_config()
        while True:
            asset_id = f"{self._name}-{len(self.assets)}"
            self.assets.append(asset_id)
            for name in documents_of(asset_id):
                yield IndexRequest(document=document(name, 1, 0, asset_id=asset_id))
            await asyncio.sleep(0.002)

    async def _index(self, stub: Any) -> None:
        async for event in exchange(stub.StreamingIndex, CallScope(), self._documents()):
            self.acknowledged.update(event.ack.document_ids)

    async def _delete(self, stub: Any) -> None:
        while True:
            await asyncio.sleep(0.01)
            for asset_id in set(self.assets[::3]) - self.deleting:
                if not documents_of(asset_id) <= self.acknowledged:
                    continue
                self.deleting.add(asset_id)
                request = search_pb2.DeleteDocumentsRequest(asset_ids=[asset_id])
                await call_unary(stub.DeleteDocuments, request, CallScope())
                self.deleted.add(asset_id)

    async def check(self, stub: Any) -> None:
        """Compare what is there with what was told."""
        found = await listed(stub, self.assets)
        assert len(found) == len(set(found)), "none twice"
        assert set(found) <= {name for one in self.assets for name in documents_of(one)}
        lost = self.acknowledged - set(found)
        assert lost <= {name for one in self.deleting for name in documents_of(one)}
        back = {name for one in self.deleted for name in documents_of(one)} & set(found)
        assert not back, "what was deleted stays so"
        assert len(self.acknowledged) > DOCUMENTS_OF_AN_ASSET * len(self.deleted) > 0


def documents_of(asset_id: str) -> set[str]:
    return {f"{asset_id}/{number}" for number in range(DOCUMENTS_OF_AN_ASSET)}


async def listed(stub: Any, asset_ids: list[str]) -> list[str]:
    found = []
    for start in range(0, len(asset_ids), 100):
        request = search_pb2.ListDocumentsRequest(asset_ids=asset_ids[start : start + 100])
        async for answer in stub.ListDocuments(request):
            found.append(answer.document.evidence.evidence_id)
    return found


async def test_what_was_acknowledged_is_there_once_and_what_was_deleted_is_not(
    tmp_path: Path,
) -> None:
    moments = random.Random(SEED)
    clients = [Client(f"c{number}") for number in range(CLIENTS)]
    variables = {"SENSORIUM_DATA_DIR": str(tmp_path)}
    for _ in range(KILLS):
        async with search_process(variables) as running:
            for client in clients:
                if client.assets:
                    await client.check(running.stub)
            work = [asyncio.create_task(client.run(running.stub)) for client in clients]
            counts = {client: len(client.deleted) + moments.randint(1, 4) for client in clients}
            await until(
                lambda counts=counts: all(len(c.deleted) >= n for c, n in counts.items()),  # type: ignore[misc]
                WITHIN_S,
                "documents are written and deleted",
            )
            await asyncio.sleep(moments.uniform(0, 0.05))
            await running.kill()
            await asyncio.gather(*work)
    settings = make_settings(tmp_path, data_dir=tmp_path)
    async with serve_stage(build(settings), settings) as channel:
        for client in clients:
            await client.check(search_pb2_grpc.SearchServiceStub(channel))
