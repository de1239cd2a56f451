"""Deletions and checks over real stages, where one asset or one stage fails."""

from datetime import timedelta
from pathlib import Path

import pytest
from sensorium.encode.v1.encode_pb2_grpc import EncodeServiceStub
from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import check_pb2

from services.gateway.catalogue import get_asset, list_documents
from services.gateway.checking import Checker
from services.gateway.deletion import Deleter
from services.gateway.indexing import Indexer
from services.gateway.policy import Policies
from services.gateway.retention import Expiry, Retention
from services.ingest.records import Keys
from services.runtime.calls import call_unary
from services.runtime.channel import open_channel
from services.runtime.errors import InternalFailure, NotFound, Unavailable
from tests.contract.gateway.conftest import SCOPE, World, document
from tests.pipeline.platform import until
from tests.ports import free_port

LATER_S = timedelta(days=2).total_seconds()


def damage(folder: Path, asset_id: str) -> None:
    """Make the record of an asset unreadable."""
    (folder / "data" / "media" / Keys(SCOPE.tenant_id).record(asset_id)).write_bytes(b"{")


async def test_who_stands_for_shared_bytes_now_is_indexed_also_where_the_deletion_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for asset_id in ("first", "second"):
        await world.store(asset_id, content=b"The lighthouse keeper sang.")
    indexer = Indexer(world.stages, Policies())
    deleter = Deleter(world.stages, indexer)
    async with open_channel(f"127.0.0.1:{free_port()}") as channel:
        with monkeypatch.context() as patched:
            gone = EncodeServiceStub(channel).ForgetAssets
            patched.setattr(world.stages.encode, "ForgetAssets", gone)
            with pytest.raises(Unavailable):
                await deleter.delete(SCOPE, "first")
    await until(lambda: not indexer.pending, 20, "the index jobs end")
    await deleter.delete(SCOPE, "first")
    assert (await get_asset(world.stages, SCOPE, "second")).indexed
    assert await list_documents(world.stages, SCOPE, "second")
    await indexer.close()


async def test_an_asset_that_cannot_be_deleted_does_not_hold_up_the_others(
    world: World, tmp_path: Path
) -> None:
    await world.store("old")
    # Newer, so it is met first; whether "damaged" still needs its bytes cannot be told.
    for asset_id in ("stuck", "damaged"):
        await world.store(asset_id, content=b"shared bytes")
    damage(tmp_path, "damaged")
    deleter = Deleter(world.stages, Indexer(world.stages, Policies()))
    now_s = (await get_asset(world.stages, SCOPE, "stuck")).create_time.seconds + LATER_S
    expiry = Expiry(world.stages, deleter, Retention(default_days=1), lambda: now_s)
    assert await expiry.expire() == 1
    with pytest.raises(NotFound):
        await get_asset(world.stages, SCOPE, "old")
    with pytest.raises(InternalFailure, match="RECORD_DAMAGED"):
        await deleter.delete(SCOPE, "stuck")


async def test_a_deletion_that_cannot_be_completed_does_not_hold_up_the_others(
    world: World, tmp_path: Path
) -> None:
    for asset_id in ("a-stuck", "damaged"):
        await world.store(asset_id, content=b"shared bytes")
    await world.store("z-begun")
    damage(tmp_path, "damaged")
    begin = ingest_pb2.DeleteAssetRequest
    await call_unary(world.stages.ingest.DeleteAsset, begin(asset_id="z-begun"), SCOPE)
    with pytest.raises(InternalFailure, match="RECORD_DAMAGED"):
        await call_unary(world.stages.ingest.DeleteAsset, begin(asset_id="a-stuck"), SCOPE)
    deleter = Deleter(world.stages, Indexer(world.stages, Policies()))
    await deleter.catch_up()
    begun = ingest_pb2.ListDeletionsRequest()
    left = await call_unary(world.stages.ingest.ListDeletions, begun, SCOPE)
    assert list(left.asset_ids) == ["a-stuck"]


async def test_a_check_goes_on_past_a_damaged_record_whose_asset_is_indexed(
    world: World, tmp_path: Path
) -> None:
    await world.store("note")
    await world.index([document("note", 1, 0.9)])
    damage(tmp_path, "note")
    indexer = Indexer(world.stages, Policies())
    checker = Checker(world.stages, indexer, Deleter(world.stages, indexer))
    request = gateway_pb2.CheckRequest()
    *findings, last = [response async for response in checker.check(SCOPE, request)]
    assert [each.finding.fault for each in findings] == [check_pb2.FAULT_RECORD_DAMAGED]
    assert last.summary.finding_count == 1
    *_, last = [r async for r in checker.check(SCOPE, gateway_pb2.CheckRequest(repair=True))]
    assert last.summary.finding_count == last.summary.repaired_count
    assert not await list_documents(world.stages, SCOPE, "note")
