"""The gateway's search over real stages and a real index; only the models are fakes."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2, upload_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.relevance import Found, Sought, relevance
from services.gateway.search import search
from services.gateway.stages import Stages, connect
from services.host import builders
from services.runtime.calls import CallScope, exchange
from tests.fakes import DIMENSION, SPACE, FakeEncoder, fake_vector
from tests.harness import make_settings, serve_all

QUERY = "lighthouse"
SCOPE = CallScope("acme")


@dataclass(frozen=True)
class World:
    """Stages with nothing stored yet."""

    stages: Stages

    async def store(self, *asset_ids: str, content: bytes = b"") -> None:
        """Store an asset for each id, of bytes of its own unless they are given."""
        request = ingest_pb2.StreamingIngestRequest

        async def upload() -> AsyncIterator[ingest_pb2.StreamingIngestRequest]:
            yield request(config=ingest_pb2.IngestConfig(store_only=True))
            for asset_id in asset_ids:
                data = content or f"text of {asset_id}".encode()
                name = f"{asset_id}.txt"
                yield request(asset_start=upload_pb2.AssetStart(asset_id=asset_id, name=name))
                yield request(chunk=upload_pb2.MediaChunk(asset_id=asset_id, data=data))
                yield request(
                    asset_finish=upload_pb2.AssetFinish(asset_id=asset_id, size_bytes=len(data))
                )

        events = exchange(self.stages.ingest.StreamingIngest, SCOPE, upload())
        kinds = [event.WhichOneof("event") async for event in events]
        assert kinds.count("asset") == len(asset_ids)

    async def index(self, documents: Sequence[search_pb2.Document]) -> None:
        """Index documents."""
        request = search_pb2.StreamingIndexRequest

        async def requests() -> AsyncIterator[search_pb2.StreamingIndexRequest]:
            yield request(config=search_pb2.IndexConfig())
            for document in documents:
                yield request(document=document)

        events = exchange(self.stages.search.StreamingIndex, SCOPE, requests())
        *_, last = [event async for event in events]
        assert last.summary.document_count == len(documents)

    async def find(self, **fields: object) -> list[gateway_pb2.SearchResult]:
        """What is found for the query."""
        request = gateway_pb2.SearchRequest(text=QUERY, **fields)  # type: ignore[arg-type]
        return list((await search(self.stages, SCOPE, request)).results)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    hosted = {name: builders()[name] for name in ("ingest", "search")}
    hosted["encode"] = FakeEncoder().stage
    async with serve_all(hosted, make_settings(tmp_path)) as (_, settings):
        stages = connect(settings)
        try:
            yield World(stages)
        finally:
            await stages.close()


def document(
    asset_id: str,
    number: int,
    similarity: float,
    origin: evidence_pb2.EvidenceOrigin.ValueType = evidence_pb2.EVIDENCE_ORIGIN_LABEL,
    *,
    second: int | None = None,
) -> search_pb2.Document:
    """A document with a given cosine to the query, at a second of its own unless it is given."""
    query = fake_vector(QUERY).astype(np.float64)
    other = np.random.default_rng(number).standard_normal(DIMENSION)
    other -= (other @ query) * query
    other /= np.linalg.norm(other)
    vector = similarity * query + np.sqrt(1 - similarity**2) * other
    said = origin != evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED
    message = search_pb2.Document(
        evidence=evidence_pb2.Evidence(
            evidence_id=f"{asset_id}/{number}",
            segment_id=f"{asset_id}/{number}",
            asset_id=asset_id,
            modality=media_pb2.MODALITY_VIDEO,
            origin=origin,
            text=f"words {number}" if said else "",
        ),
        embedding=media_pb2.Embedding(
            space=SPACE,
            dtype=media_pb2.VECTOR_DTYPE_FLOAT32,
            dimension=DIMENSION,
            data=vector.astype("<f4").tobytes(),
        ),
    )
    message.evidence.locator.span.start.FromSeconds(number if second is None else second)
    message.evidence.locator.span.end.FromSeconds(number if second is None else second)
    return message


def ids(results: Sequence[gateway_pb2.SearchResult]) -> list[str]:
    return [result.asset.asset_id for result in results]


async def test_an_asset_with_many_matches_hides_no_other_and_pages_fit_together(
    world: World,
) -> None:
    others = [f"other{number:02}" for number in range(12)]
    await world.store("long", *others)
    await world.index([document("long", number, 0.9) for number in range(400)])
    await world.index([document(name, n, 0.8 - n / 100) for n, name in enumerate(others)])
    whole = ids(await world.find(top_k=100))
    assert whole == ["long", *others]
    for size in (1, 5, 13):
        pages = [ids(await world.find(top_k=size, offset=o)) for o in range(0, 14, size)]
        assert [asset_id for page in pages for asset_id in page] == whole
    (long,) = await world.find(top_k=1, match_count_max=50)
    assert len(long.matches) == 50
    assert [match.score for match in long.matches] == sorted(
        (match.score for match in long.matches), reverse=True
    )


async def test_a_threshold_on_relevance_looks_behind_nearer_matches_of_another_kind(
    world: World,
) -> None:
    nearer, worth_more = 0.3, 0.27
    sought = [(Sought.WORDS, 1.0)]
    seen = relevance(nearer, Found.PICTURE, sought)
    heard = relevance(worth_more, Found.SPEECH, sought)
    assert seen < 0.5 < heard
    frames = [f"frame{number}" for number in range(3)]
    await world.store("speech", *frames)
    await world.index(
        [
            document(name, number, nearer, evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED)
            for name in frames
            for number in range(100)
        ]
    )
    await world.index([document("speech", 1, worth_more, evidence_pb2.EVIDENCE_ORIGIN_SPEECH)])
    (result,) = await world.find(relevance_min=0.5)
    assert ids([result]) == ["speech"]
    assert result.relevance == pytest.approx(heard, abs=1e-3)
    assert len(await world.find()) == 4
    assert await world.find(relevance_min=0.99) == []


async def test_what_a_place_shows_and_the_words_for_it_are_one_match(world: World) -> None:
    await world.store("film")
    unspoken = evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED
    await world.index(
        [
            document("film", 1, 0.6, unspoken, second=7),
            document("film", 2, 0.5, second=7),
            document("film", 3, 0.4, second=9),
        ]
    )
    (film,) = await world.find()
    assert [match.locator.span.start.seconds for match in film.matches] == [7, 9]
    assert [match.preview_text for match in film.matches] == ["words 2", "words 3"]
    assert film.matches[0].similarity == pytest.approx(0.6, abs=1e-3)
    best = max(
        relevance(0.6, Found.PICTURE, [(Sought.WORDS, 1.0)]),
        relevance(0.5, Found.LABEL, [(Sought.WORDS, 1.0)]),
    )
    assert film.relevance == film.matches[0].relevance == pytest.approx(best, abs=1e-3)


async def test_an_asset_is_found_by_the_id_of_a_repetition(world: World) -> None:
    await world.store("first", "other")
    await world.store("again", content=b"text of first")
    await world.index([document("first", 1, 0.5), document("other", 2, 0.6)])
    assert ids(await world.find(asset_ids=["again"])) == ["first"]
    assert await world.find(asset_ids=["unknown"]) == []


async def test_what_is_indexed_and_not_stored_is_not_told(world: World) -> None:
    await world.store("kept")
    await world.index([document("kept", 1, 0.5), document("deleted", 2, 0.9)])
    assert ids(await world.find()) == ["kept"]


async def test_a_result_fits_a_message(world: World) -> None:
    names = [f"a{number:02}" for number in range(90)]
    await world.store(*names)
    long_words = []
    for number, name in enumerate(names):
        for part in range(25):
            each = document(name, number * 100 + part, 0.9 - number / 1000)
            each.evidence.text = "森" * 2000
            long_words.append(each)
    await world.index(long_words)
    response = gateway_pb2.SearchResponse(results=await world.find(top_k=90, match_count_max=50))
    assert 40 < len(response.results) < 90
    assert response.ByteSize() < 4 << 20
