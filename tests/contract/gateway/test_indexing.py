"""Index jobs over real stages and a real index; only the models are fakes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sensorium.encode.v1.encode_pb2_grpc import EncodeServiceStub
from sensorium.media.v1 import media_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import get_asset, list_documents
from services.gateway.deletion import Deleter
from services.gateway.index_outcome import outcome
from services.gateway.indexing import Indexer
from services.gateway.ledger import AssetEntry
from services.gateway.policy import Action, Policies, Policy, Rule
from services.gateway.stages import connect
from services.host import builders
from services.runtime.calls import CallScope, read_stage
from services.runtime.channel import open_channel
from services.runtime.errors import InternalFailure, NotFound
from services.search.lease import FolderLease
from tests import media
from tests.contract.gateway.conftest import SCOPE, World, document
from tests.fakes import FakeEncoder
from tests.harness import make_settings, serve_all
from tests.pipeline.platform import until
from tests.ports import free_port


async def test_a_job_outlasts_a_change_of_the_process_that_writes_the_index(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    gone = FolderLease(index, f"127.0.0.1:{free_port()}")
    assert await gone.acquire() is None
    hosted = {name: builders()[name] for name in ("ingest", "search")}
    hosted["encode"] = FakeEncoder().stage
    async with serve_all(hosted, make_settings(tmp_path, index_url=str(index))) as (_, settings):
        stages = connect(settings)
        await World(stages).store("note")
        asset = await get_asset(stages, SCOPE, "note")
        indexer = Indexer(stages, Policies())
        job = indexer.submit(AssetEntry(asset.info, asset), SCOPE)
        await until(lambda: "INDEX_WRITER_UNREACHABLE" in caplog.text, 20, "search refuses")
        await gone.release()
        assert await job == len(await list_documents(stages, SCOPE, "note")) > 0
        assert (await get_asset(stages, SCOPE, "note")).indexed
        await indexer.close()
        await stages.close()


async def test_an_asset_that_is_read_again_leaves_nothing_of_the_job_that_was_cut_short(
    world: World,
) -> None:
    await world.store("talk", content=media.wav(media.speech_like(20.0)))
    await world.index([document("talk", 7, 0.5)])
    asset = await get_asset(world.stages, SCOPE, "talk")
    indexer = Indexer(world.stages, Policies())
    written = await indexer.submit(AssetEntry(asset.info, asset), SCOPE)
    kept = await list_documents(world.stages, SCOPE, "talk")
    assert len(kept) == written > 0
    assert "words 7" not in {each.evidence.text for each in kept}
    await indexer.close()


async def test_nothing_of_an_earlier_space_is_left_of_an_asset_that_is_indexed_anew(
    world: World,
) -> None:
    await world.store("note")
    earlier = document("note", 7, 0.5)
    earlier.embedding.space = "earlier"
    await world.index([earlier], "earlier")
    asset = await get_asset(world.stages, SCOPE, "note")
    indexer = Indexer(world.stages, Policies())
    written = await indexer.submit(AssetEntry(asset.info, asset), SCOPE)
    request = search_pb2.CountDocumentsRequest()
    counts = read_stage(world.stages.search.CountDocuments, request, SCOPE)
    assert [(each.asset_id, each.document_count) async for each in counts] == [("note", written)]
    await indexer.close()


async def test_what_is_stored_is_indexed_once_the_stages_are_available_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.store("note")
    await world.store("unread", content=media.jpeg())
    indexer, tries = Indexer(world.stages, Policies()), 0
    monkeypatch.setattr("services.gateway.indexing.CATCH_UP_AGAIN_S", 0.01)
    catch_up = indexer.catch_up

    async def counted(scope: CallScope) -> bool:
        nonlocal tries
        tries += 1
        if tries > 1:
            monkeypatch.setattr(world.stages.encode, "StreamingEncode", encode)
        return await catch_up(scope)

    index_stored = indexer.index_stored

    async def failing_for_good(asset: media_pb2.Asset, *rest: Any) -> int:
        if asset.asset_id == "unread":
            raise InternalFailure("INFERENCE_FAILED", "It cannot be perceived.")
        return await index_stored(asset, *rest)

    monkeypatch.setattr(indexer, "index_stored", failing_for_good)
    monkeypatch.setattr(indexer, "catch_up", counted)
    encode = world.stages.encode.StreamingEncode
    async with open_channel(f"127.0.0.1:{free_port()}") as channel:
        gone = EncodeServiceStub(channel).StreamingEncode
        monkeypatch.setattr(world.stages.encode, "StreamingEncode", gone)
        await indexer.catch_up_all()
    assert (await get_asset(world.stages, SCOPE, "note")).indexed
    # What fails for good is not tried on and on.
    assert tries == 2
    await indexer.close()


async def test_an_asset_that_is_deleted_while_it_is_judged_is_not_found(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.store("note")
    asset = await get_asset(world.stages, SCOPE, "note")
    await outcome(Indexer(world.stages, Policies()).submit(AssetEntry(asset.info, asset), SCOPE))
    indexer = Indexer(world.stages, Policies(Policy({"toxic": Rule(Action.BLOCK, 0.9)})))
    begun = asyncio.Event()

    async def waiting(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("services.gateway.indexing.judge_stored", waiting)
    judging = asyncio.create_task(indexer.judged(asset, SCOPE))
    await begun.wait()
    await Deleter(world.stages, indexer).delete(SCOPE, "note")
    with pytest.raises(NotFound):
        await judging
    await indexer.close()
