"""What is deleted is gone from everything that knew it; what is damaged is found and mended."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2
from sensorium.search.v1 import search_pb2, search_pb2_grpc
from sensorium_client import Client
from sensorium_client.checks import CheckSummary, Finding
from sensorium_client.errors import SensoriumClientError
from sensorium_client.options import AskOptions

from services.gateway.catalogue import list_assets
from services.gateway.deletion import Deleter
from services.gateway.indexing import Indexer
from services.gateway.policy import Policies
from services.gateway.retention import Expiry, Retention
from services.gateway.stages import Stages, connect
from services.ingest.records import Keys
from services.runtime.calls import CallScope, read_stage
from services.runtime.channel import open_channel
from tests import media
from tests.contract.ingest.conftest import config as upload_config
from tests.contract.ingest.conftest import whole
from tests.pipeline.platform import Platform, until
from tests.pipeline.streams import Upload, asset, exchange, in_upload
from tests.stored_bytes import stored

WITHIN_S = 60.0
DAY_S = 86400.0


def story(word: str) -> bytes:
    return f"The {word} sang to the lighthouse keeper about {word} weather.".encode()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def store(stub: Any, **contents: bytes) -> None:
    """Store and index assets under ids of our choice."""
    parts = [in_upload(asset(asset_id, content)) for asset_id, content in contents.items()]
    messages = [Upload(config=gateway_pb2.UploadConfig()), *(m for some in parts for m in some)]
    outcome = await exchange(stub.StreamingUpload(), messages)
    assert {event.asset_id for event in outcome.of("asset_indexed")} == contents.keys()


async def found(client: Client, words: str) -> set[str]:
    return {hit.asset_id for hit in await client.search(text=words, top_k=100)}


async def check(client: Client, **options: bool) -> tuple[dict[str, tuple[str, bool]], int]:
    """Faults by asset, and how many are left."""
    faults, left = {}, -1
    async for event in client.check(**options):
        match event:
            case Finding():
                faults[event.asset_id] = (event.fault, event.repaired)
            case CheckSummary():
                left = event.finding_count - event.repaired_count
    return faults, left


def files_with(folder: Path, *needles: str) -> list[str]:
    """Files whose name or bytes hold one of these, and folders whose name does."""
    files = ((str(path.relative_to(folder)), content or b"") for path, content in stored(folder))
    return [
        name
        for name, content in files
        if any(needle in name or needle.encode() in content for needle in needles)
    ]


@contextlib.asynccontextmanager
async def stages_of(platform: Platform) -> AsyncIterator[Stages]:
    stages = connect(platform.settings)
    try:
        yield stages
    finally:
        await stages.close()


async def test_of_what_is_deleted_nothing_is_left(
    platform: Platform, client: Client, stub: Any
) -> None:
    text, picture = story("xylophonist"), media.jpeg(321, 123)
    await store(stub, **{"story-to-go": text, "picture-to-go": picture})
    await client.thumbnail("picture-to-go")
    assert "story-to-go" in await found(client, "xylophonist")
    traces = ("story-to-go", "picture-to-go", "xylophonist", sha256(text), sha256(picture))
    data_dir = platform.settings.data_dir
    assert await asyncio.to_thread(files_with, data_dir, *traces)
    await asyncio.gather(*(client.delete(each) for each in ("story-to-go", "picture-to-go") * 2))
    with pytest.raises(SensoriumClientError, match="no such asset"):
        await client.delete("story-to-go")
    assert not {"story-to-go", "picture-to-go"} & await found(client, "xylophonist")
    assert await client.find_assets([sha256(text), sha256(picture)]) == ()
    async with stages_of(platform) as stages:
        request = search_pb2.CountDocumentsRequest()
        counted = read_stage(stages.search.CountDocuments, request, CallScope())
        assert not {"story-to-go", "picture-to-go"} & {each.asset_id async for each in counted}

    async def nothing_is_left() -> bool:
        left = await asyncio.to_thread(files_with, data_dir, *traces)
        # The index cleans its files up in a minute, which a test of its own waits for.
        return all(name.startswith("lancedb") for name in left)

    # A picture that is being made of it is thrown away once it is made.
    await until(nothing_is_left, WITHIN_S, "no file holds anything of it")
    with pytest.raises(SensoriumClientError, match="no such asset"):
        async for _ in client.ask("What is it?", asset_ids=["picture-to-go"]):
            pass
    # Its id and its bytes can be used again.
    await store(stub, **{"story-to-go": text})
    assert "story-to-go" in await found(client, "xylophonist")
    assert await check(client, deep=True) == ({}, 0)


async def test_with_the_first_of_equal_assets_gone_the_next_one_is_found(
    client: Client, stub: Any
) -> None:
    text = story("bassoonist")
    for asset_id in ("first", "second", "third"):
        await store(stub, **{asset_id: text})
    assert "first" in await found(client, "bassoonist")
    await client.delete("first")

    async def promoted() -> bool:
        ids = await found(client, "bassoonist")
        assert not {"first", "third"} & ids
        return "second" in ids

    await until(promoted, WITHIN_S, "the next one is indexed")
    assert await check(client) == ({}, 0)
    (known,) = await client.find_assets([sha256(text)])
    assert known.asset_id == "second"


async def test_an_asset_deleted_while_it_is_indexed_or_read_leaves_nothing(
    platform: Platform, client: Client, stub: Any
) -> None:
    names = [f"racing-{number}" for number in range(6)]
    uploads = [asyncio.create_task(store(stub, **{name: story(name)})) for name in names]
    pictures = {f"picture-{number}": media.jpeg(300 + number, 200) for number in range(3)}
    uploads.append(asyncio.create_task(store(stub, **pictures)))

    async def delete(asset_id: str) -> None:
        while True:
            try:
                await client.delete(asset_id)
            except SensoriumClientError as error:
                assert error.reason == "ASSET_NOT_FOUND"
                await asyncio.sleep(0.01)
            else:
                return

    asked = asyncio.create_task(answered(client, "racing-0"))
    await asyncio.gather(*(delete(name) for name in (*names, *pictures)))
    await asyncio.gather(*uploads, return_exceptions=True)
    assert await asked in ("answered", "ASSET_NOT_FOUND")
    await platform.at_rest(within_s=WITHIN_S)
    assert await check(client, deep=True) == ({}, 0)
    assert not await found(client, "racing") & {*names, *pictures}


async def store_only(stages: Stages, scope: CallScope, asset_id: str, content: bytes) -> None:
    """Store an asset of a tenant."""
    open_call: Any = stages.ingest.StreamingIngest
    upload = [upload_config(store_only=True), *whole(asset_id, content)]
    outcome = await exchange(open_call(metadata=tuple(scope.metadata().items())), upload)
    assert outcome.of("asset")


async def answered(client: Client, asset_id: str) -> str:
    """How a question about an asset ends."""
    options = AskOptions(max_tokens=4)
    try:
        async for _ in client.ask("Who sang?", asset_ids=[asset_id], options=options):
            pass
    except SensoriumClientError as error:
        return error.reason
    return "answered"


async def test_what_is_past_its_time_is_deleted_for_its_tenant_alone(platform: Platform) -> None:
    scopes = [CallScope(f"retained-{number}") for number in range(2)]
    now_s = [time.time()]
    async with stages_of(platform) as stages:
        deleter = Deleter(stages, Indexer(stages, Policies()))
        for scope in scopes:
            await store_only(stages, scope, "old", story("organist"))

        async def expire(tenants: dict[str, float | None], default: float | None = None) -> int:
            retention = Retention(default, {"default": None, **tenants})
            return await Expiry(stages, deleter, retention, lambda: now_s[0]).expire()

        now_s[0] += 9 * DAY_S
        assert await expire({}, 10) == 0
        now_s[0] += 2 * DAY_S
        assert await expire({}) == 0
        assert await expire({"retained-0": None, "retained-1": 12}, 10) == 0
        assert await expire({"retained-1": None}, 10) == 1
        left = [[asset async for asset in list_assets(stages, scope)] for scope in scopes]
        assert list(map(len, left)) == [0, 1]
        assert await expire({"retained-1": 10}) == 1


async def test_where_index_and_store_disagree_it_is_found_and_mended(
    platform: Platform, client: Client, stub: Any
) -> None:
    await store(stub, forgotten=story("cellist"), lost=story("harpist"), buried=story("drummer"))
    blob = Keys("default").blob(sha256(story("harpist")))
    (platform.settings.data_dir / "media" / blob).unlink()
    ghost = search_pb2.Document(
        evidence=evidence_pb2.Evidence(
            evidence_id="ghost/text/0",
            segment_id="ghost/text/0",
            asset_id="ghost",
            modality=media_pb2.MODALITY_TEXT,
            text="nobody sang",
        ),
        segment_kind=media_pb2.SEGMENT_KIND_TEXT_PASSAGE,
    )
    async with open_channel(platform.address) as channel:
        search = search_pb2_grpc.SearchServiceStub(channel)
        listed = search.ListDocuments(search_pb2.ListDocumentsRequest(asset_ids=["forgotten"]))
        ghost.embedding.CopyFrom((await anext(aiter(listed))).document.embedding)
        index = [
            search_pb2.StreamingIndexRequest(config=search_pb2.IndexConfig()),
            search_pb2.StreamingIndexRequest(document=ghost),
        ]
        assert not (await exchange(search.StreamingIndex(), index)).item_errors()
        forget = search_pb2.DeleteDocumentsRequest(asset_ids=["forgotten"])
        assert (await search.DeleteDocuments(forget)).document_count
        engine = platform.ingest
        await engine.on_disk(engine.store.bury, "default", "buried")
        wrong = {
            "forgotten": "documents_wrong",
            "lost": "bytes_missing",
            "ghost": "documents_orphaned",
            "buried": "deletion_unfinished",
        }
        told, left = await check(client)
        # Whose deletion is not done has documents of nobody, too.
        assert {each: fault for each, (fault, _) in told.items()} in (
            wrong,
            {**wrong, "buried": "documents_orphaned"},
        )
        assert left == len(wrong) + 1
        _, left = await check(client, repair=True)
        assert left == 0
    assert await check(client, deep=True) == ({}, 0)
    assert "forgotten" in await found(client, "cellist")
    assert not {"lost", "ghost", "buried"} & await found(client, "harpist")
    # What was lost can be sent again.
    await store(stub, lost=story("harpist"))
    assert "lost" in await found(client, "harpist")
