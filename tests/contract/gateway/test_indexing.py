"""Index jobs over real stages and a real index; only the models are fakes."""

from pathlib import Path

import pytest

from services.gateway.catalogue import get_asset, list_documents
from services.gateway.indexing import Indexer
from services.gateway.ledger import AssetEntry
from services.gateway.policy import Policies
from services.gateway.stages import connect
from services.host import builders
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
