"""Real stages and a real index behind the gateway's searches; only the models are fakes."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2, moderation_pb2, upload_pb2
from sensorium.search.v1 import search_pb2

from services.encode.joint import SPACE
from services.gateway.conversations.store import ConversationStore
from services.gateway.database.engine import Database
from services.gateway.policy import Policy
from services.gateway.search import search
from services.gateway.stages import Stages, connect
from services.host import builders
from services.runtime.calls import CallScope, call_unary, exchange
from tests.certificates import Authority
from tests.contract.gateway.conversing import STORY
from tests.databases import Postgres, postgres
from tests.fakes import DIMENSION, FakeEncoder, fake_vector
from tests.harness import make_settings, serve_all

QUERY = "lighthouse"
SCOPE = CallScope("acme")
UNMODERATED = Policy()


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
                name = asset_id if content else f"{asset_id}.txt"
                yield request(asset_start=upload_pb2.AssetStart(asset_id=asset_id, name=name))
                yield request(chunk=upload_pb2.MediaChunk(asset_id=asset_id, data=data))
                yield request(
                    asset_finish=upload_pb2.AssetFinish(asset_id=asset_id, size_bytes=len(data))
                )

        events = exchange(self.stages.ingest.StreamingIngest, SCOPE, upload())
        kinds = [event.WhichOneof("event") async for event in events]
        assert kinds.count("asset") == len(asset_ids)

    async def index(self, documents: Sequence[search_pb2.Document], space: str = SPACE) -> None:
        """Index documents."""
        request = search_pb2.StreamingIndexRequest

        async def requests() -> AsyncIterator[search_pb2.StreamingIndexRequest]:
            yield request(config=search_pb2.IndexConfig(space=space))
            for document in documents:
                yield request(document=document)

        events = exchange(self.stages.search.StreamingIndex, SCOPE, requests())
        *_, last = [event async for event in events]
        assert last.summary.document_count == len(documents)

    async def note_finding(self, asset_id: str, category: str, score: float) -> None:
        """Keep with an asset what moderation found in it."""
        found = media_pb2.ModerationFinding(
            score=moderation_pb2.ModerationScore(category=category, score=score)
        )
        request = ingest_pb2.RecordModerationRequest(asset_id=asset_id, findings=[found])
        await call_unary(self.stages.ingest.RecordModeration, request, SCOPE)

    async def find(
        self, policy: Policy = UNMODERATED, **fields: object
    ) -> list[gateway_pb2.SearchResult]:
        """What is found for the query."""
        request = gateway_pb2.SearchRequest(text=QUERY, **fields)  # type: ignore[arg-type]
        return list((await search(self.stages, SCOPE, request, policy)).results)


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
    origin: evidence_pb2.EvidenceOrigin.ValueType = evidence_pb2.EVIDENCE_ORIGIN_CAPTION,
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


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Of an empty database; empty means SQLite in the data folder."""
    if request.param == "sqlite":
        return ""
    running: Postgres = request.getfixturevalue("postgres_server")
    return running.new_database()


@pytest.fixture
async def database(url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database, with its tables."""
    database = Database(make_settings(tmp_path, database_url=url))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def store(database: Database) -> ConversationStore:
    """The conversations in it."""
    return ConversationStore(database)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the certificates, and of what the servers that show them store."""
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    """Whose certificates hold."""
    return Authority(folder)


@pytest.fixture
def story(tmp_path: Path) -> str:
    """A file of two sentences."""
    path = tmp_path / "story.txt"
    path.write_text(STORY)
    return str(path)
