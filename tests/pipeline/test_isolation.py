"""Whatever two tenants do, neither sees, infers or deletes what the other stored."""

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sensorium.ingest.v1 import ingest_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import list_assets, list_documents
from services.gateway.deletion import Deleter
from services.gateway.index_outcome import outcome
from services.gateway.indexing import Indexer
from services.gateway.ledger import AssetEntry
from services.gateway.perception import embed_text
from services.gateway.policy import Policies
from services.gateway.recall import search_one
from services.gateway.stages import Stages, connect
from services.runtime.calls import CallScope, call_unary
from services.runtime.errors import NotFound
from tests.contract.ingest.conftest import config, whole
from tests.pipeline.platform import Platform
from tests.pipeline.streams import exchange

IDS = ("a", "b", "x' OR tenant_id <> '")
CONTENTS = (b"the lighthouse is red", b"the harbour is closed")


@dataclass
class Tenant:
    """A tenant, what it should have, and the door it comes in by: that of the gateway's own
    calls, where the tenant is what the credentials say."""

    stages: Stages
    indexer: Indexer
    deleter: Deleter
    scope: CallScope
    assets: dict[str, bytes] = field(default_factory=dict)

    async def store(self, asset_id: str, content: bytes) -> None:
        open_call: Any = self.stages.ingest.StreamingIngest
        call = open_call(metadata=tuple(self.scope.metadata().items()))
        told = await exchange(call, [config(), *whole(asset_id, content)])
        if asset_id in self.assets and self.assets[asset_id] != content:
            assert told.item_errors()[asset_id].reason == "ASSET_EXISTS"
        elif asset_id == IDS[-1]:
            assert told.item_errors()[asset_id].reason == "ASSET_ID_INVALID"
        else:
            (asset,) = told.of("asset")
            equal = {each for each, known in self.assets.items() if known == content}
            # That another tenant has the bytes is not to be told from the answer.
            assert bool(asset.duplicate_of) == bool(equal - {asset_id}) or asset_id in self.assets
            await outcome(self.indexer.submit(AssetEntry(asset.info, asset), self.scope))
            self.assets[asset_id] = content

    async def delete(self, asset_id: str) -> None:
        try:
            await self.deleter.delete(self.scope, asset_id)
        except NotFound:
            assert asset_id not in self.assets
        else:
            del self.assets[asset_id]

    async def sees_its_own(self) -> None:
        """Listing, hashes, records, bytes, documents and search show what is its own."""
        for asset in [asset async for asset in list_assets(self.stages, self.scope)]:
            await self.indexer.settled(asset, self.scope)
        listed = [asset async for asset in list_assets(self.stages, self.scope)]
        assert {asset.asset_id for asset in listed} == self.assets.keys()
        first = {asset.asset_id for asset in listed if not asset.duplicate_of}
        hashes = [hashlib.sha256(content).hexdigest() for content in CONTENTS]
        find = ingest_pb2.FindAssetsRequest(sha256=hashes)
        found = await call_unary(self.stages.ingest.FindAssets, find, self.scope)
        assert {asset.asset_id for asset in found.assets} == first
        for asset_id in IDS:
            get = ingest_pb2.GetAssetRequest(asset_id=asset_id)
            try:
                await call_unary(self.stages.ingest.GetAsset, get, self.scope)
            except NotFound:
                assert asset_id not in self.assets
            else:
                assert asset_id in self.assets
            documents = await list_documents(self.stages, self.scope, asset_id)
            assert bool(documents) == (asset_id in first)
        # A filter narrows, whatever it says.
        vector = await embed_text(self.stages, self.scope, "the lighthouse")
        for asset_ids in ((), IDS):
            query = search_pb2.SearchQuery(
                query_id="q", embedding=vector, asset_ids=asset_ids, top_k=100
            )
            hits = await search_one(self.stages, self.scope, query)
            assert {hit.document.evidence.asset_id for hit in hits} == first


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(["store", "store", "delete"]),
            st.sampled_from(IDS),
            st.sampled_from(CONTENTS),
        ),
        min_size=2,
        max_size=6,
    )
)
async def test_two_tenants_never_meet(
    platform: Platform, steps: list[tuple[int, str, str, bytes]]
) -> None:
    stages = connect(platform.settings)
    indexer = Indexer(stages, Policies())
    deleter = Deleter(stages, indexer)
    tenants = [
        Tenant(stages, indexer, deleter, CallScope(f"tenant-{uuid.uuid4().hex}")) for _ in range(2)
    ]
    try:
        for which, what, asset_id, content in steps:
            if what == "store":
                await tenants[which].store(asset_id, content)
            else:
                await tenants[which].delete(asset_id)
            for tenant in tenants:
                await tenant.sees_its_own()
        names = [path.name for path in (platform.settings.data_dir / "media/tenants").iterdir()]
        for tenant in tenants:
            assert (tenant.scope.tenant_id in names) or not tenant.assets
            for asset_id in list(tenant.assets):
                await tenant.delete(asset_id)
            await tenant.sees_its_own()
    finally:
        await deleter.close()
        await indexer.close()
        await stages.close()
