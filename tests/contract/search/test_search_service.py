"""SearchService over a real channel."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import timestamp_pb2
from grpc_status import rpc_status
from sensorium.media.v1 import evidence_pb2, media_pb2
from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.calls import TENANT_KEY
from services.search.convert_query import read_query
from services.search.stage import build
from tests.harness import make_settings, serve_stage

SPACE = "minilm-efficientnet-2"
IndexRequest = search_pb2.StreamingIndexRequest
SearchRequest = search_pb2.StreamingSearchRequest
Stub = search_pb2_grpc.SearchServiceStub


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Any]:
    settings = make_settings(folder)
    async with serve_stage(build(settings), settings) as channel:
        yield Stub(channel)


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    async with serving(tmp_path) as served:
        yield served


def as_tenant(name: str) -> tuple[tuple[str, str], ...]:
    return ((TENANT_KEY, name),)


def embedding(*numbers: float, space: str = SPACE) -> media_pb2.Embedding:
    vector = np.array(numbers, dtype="<f4")
    return media_pb2.Embedding(
        space=space,
        dtype=media_pb2.VECTOR_DTYPE_FLOAT32,
        dimension=len(numbers),
        data=(vector / np.linalg.norm(vector)).astype("<f4").tobytes(),
    )


def document(
    document_id: str,
    *numbers: float,
    text: str = "",
    asset_id: str = "clip",
    at_ms: int = 0,
    modality: media_pb2.Modality.ValueType = media_pb2.MODALITY_VIDEO,
) -> search_pb2.Document:
    message = search_pb2.Document(
        evidence=evidence_pb2.Evidence(
            evidence_id=document_id,
            segment_id=f"{asset_id}/frame/0",
            asset_id=asset_id,
            asset_name="clip.mp4",
            modality=modality,
            origin=evidence_pb2.EVIDENCE_ORIGIN_LABEL,
            text=text,
            confidence=0.5,
        ),
        embedding=embedding(*numbers),
        segment_kind=media_pb2.SEGMENT_KIND_VIDEO_FRAME,
        asset_sha256="ab" * 32,
        user_id="ada",
        tags=["holiday"],
    )
    message.evidence.locator.span.start.FromMilliseconds(at_ms)
    message.evidence.locator.span.end.FromMilliseconds(at_ms)
    message.evidence.locator.region.width_px = 640
    message.evidence.locator.region.height_px = 360
    message.create_time.FromMicroseconds(1_700_000_000_000_000)
    return message


def part(weight: float = 1.0, **what: Any) -> search_pb2.QueryPart:
    return search_pb2.QueryPart(weight=weight, **what)


def index_config() -> IndexRequest:
    return IndexRequest(config=search_pb2.IndexConfig())


def search_config() -> SearchRequest:
    return SearchRequest(config=search_pb2.SearchConfig())


async def index(
    stub: Any, *documents: search_pb2.Document, tenant: str = "default"
) -> list[search_pb2.StreamingIndexResponse]:
    requests = [index_config(), *(IndexRequest(document=message) for message in documents)]
    call = stub.StreamingIndex(iter(requests), metadata=as_tenant(tenant))
    return [event async for event in call]


async def search(
    stub: Any, *queries: search_pb2.SearchQuery, tenant: str = "default"
) -> list[search_pb2.StreamingSearchResponse]:
    requests = [search_config(), *(SearchRequest(query=query) for query in queries)]
    call = stub.StreamingSearch(iter(requests), metadata=as_tenant(tenant))
    return [event async for event in call]


def hit_ids(response: search_pb2.StreamingSearchResponse) -> list[str]:
    return [hit.document.evidence.evidence_id for hit in response.result.hits]


async def test_a_search_right_after_the_first_start_finds_nothing(stub: Any) -> None:
    query = search_pb2.SearchQuery(query_id="q", embedding=embedding(1, 0), text="bear")
    ready, result, summary = await search(stub, query)
    assert ready.ready.effective_config.space == SPACE
    assert result.result.query_id == "q"
    assert hit_ids(result) == []
    assert summary.summary.query_count == 1
    assert (await stub.GetStats(search_pb2.GetStatsRequest())).spaces == []
    listed = stub.ListDocuments(search_pb2.ListDocumentsRequest(asset_ids=["clip"]))
    assert [response async for response in listed] == []
    deleted = await stub.DeleteDocuments(search_pb2.DeleteDocumentsRequest(asset_ids=["clip"]))
    assert deleted.document_count == 0


async def test_what_is_acknowledged_is_found_at_once_and_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as stub:
        call = stub.StreamingIndex()
        events = aiter(call)
        await call.write(index_config())
        assert (await anext(events)).WhichOneof("event") == "ready"
        await call.write(IndexRequest(document=document("d", 1, 0, text="a brown bear")))
        assert list((await anext(events)).ack.document_ids) == ["d"]

        near = search_pb2.SearchQuery(query_id="near", embedding=embedding(1, 0.1))
        _, result, _ = await search(stub, near)
        (hit,) = result.result.hits
        assert hit.similarity == hit.score == pytest.approx(0.995, abs=1e-3)
        assert hit.document == document("d", 1, 0, text="a brown bear")

        await call.done_writing()
        (summary,) = [event async for event in events]
        assert summary.summary.document_count == 1
        assert summary.summary.database_time.ToMicroseconds() > 0
    async with serving(tmp_path) as stub:
        by_words = search_pb2.SearchQuery(query_id="words", text="bears")
        _, result, _ = await search(stub, by_words)
        assert hit_ids(result) == ["d"]
        assert result.result.hits[0].similarity == 0


async def test_many_documents_are_acknowledged_in_batches(stub: Any) -> None:
    documents = [document(f"d{number}", 1, number) for number in range(600)]
    events = await index(stub, *documents)
    acks = [list(e.ack.document_ids) for e in events if e.WhichOneof("event") == "ack"]
    assert sorted(name for ack in acks for name in ack) == sorted(f"d{n}" for n in range(600))
    assert len(acks) < 100
    assert events[-1].summary.document_count == 600


async def test_bad_documents_are_named_and_the_good_ones_indexed(stub: Any) -> None:
    wrong_space = document("space", 1, 0)
    wrong_space.embedding.space = "other"
    long_vector = document("unit", 1, 0)
    long_vector.embedding.data = np.array([3, 4], "<f4").tobytes()
    no_asset = document("asset", 1, 0, asset_id="")
    backwards = document("span", 1, 0, at_ms=5)
    backwards.evidence.locator.span.end.FromMilliseconds(1)
    endless = document("endless", 1, 0)
    endless.evidence.locator.span.end.seconds = 1 << 62
    timeless = document("time", 1, 0)
    timeless.create_time.seconds = 1 << 60
    unnamed = document("", 1, 0)
    events = await index(
        stub,
        document("good", 1, 0),
        wrong_space,
        long_vector,
        no_asset,
        backwards,
        endless,
        timeless,
        unnamed,
        document("longer", 1, 0, 0),
        document("modality", 1, 0, modality=media_pb2.MODALITY_UNSPECIFIED),
        document("good too", 0, 1),
    )
    refused = {
        e.item_error.item_id: e.item_error.error.reason
        for e in events
        if e.WhichOneof("event") == "item_error"
    }
    assert refused == {
        "space": "SPACE_MISMATCH",
        "unit": "VECTOR_MALFORMED",
        "asset": "ID_MISSING",
        "span": "LOCATOR_INVALID",
        "endless": "LOCATOR_INVALID",
        "time": "TIME_INVALID",
        "": "ID_MISSING",
        "longer": "DIMENSION_MISMATCH",
        "modality": "MODALITY_MISSING",
    }
    assert events[-1].summary.document_count == 2


async def test_tagged_queries_are_each_answered(stub: Any) -> None:
    await index(stub, *(document(f"d{number}", 1, number / 10) for number in range(20)))
    queries = [
        search_pb2.SearchQuery(query_id=f"q{number}", embedding=embedding(1, number / 10), top_k=1)
        for number in range(20)
    ]
    ready, *results, summary = await search(stub, *queries)
    assert ready.WhichOneof("event") == "ready"
    found = {result.result.query_id: hit_ids(result) for result in results}
    assert found == {f"q{number}": [f"d{number}"] for number in range(20)}
    assert summary.summary.query_count == 20


async def test_bad_queries_are_named_and_the_good_ones_answered(stub: Any) -> None:
    await index(stub, document("d", 1, 0))
    events = await search(
        stub,
        search_pb2.SearchQuery(query_id="empty"),
        search_pb2.SearchQuery(query_id="many", text="x", top_k=1001),
        search_pb2.SearchQuery(query_id="space", embedding=embedding(1, 0, space="x")),
        search_pb2.SearchQuery(query_id="longer", embedding=embedding(1, 0, 0)),
        search_pb2.SearchQuery(query_id="far", text="x", top_k=10, offset=991),
        search_pb2.SearchQuery(query_id="parts", parts=[part(text="x")] * 33),
        search_pb2.SearchQuery(query_id="weight", parts=[part(-1, text="x")]),
        search_pb2.SearchQuery(query_id="endless", parts=[part(float("inf"), text="x")]),
        search_pb2.SearchQuery(query_id="none", parts=[part(0, text="x")]),
        search_pb2.SearchQuery(
            query_id="opposed",
            parts=[part(embedding=embedding(1, 0)), part(embedding=embedding(-1, 0))],
        ),
        search_pb2.SearchQuery(query_id="similar", text="x", similarity_min=float("nan")),
        search_pb2.SearchQuery(query_id="tags", text="x", tags=["t"] * 33),
        search_pb2.SearchQuery(query_id="key", text="x", metadata={"a=b": "c"}),
        search_pb2.SearchQuery(
            query_id="time", text="x", create_time_min=timestamp_pb2.Timestamp(seconds=1 << 60)
        ),
        search_pb2.SearchQuery(query_id="good", embedding=embedding(1, 0), top_k=1000),
    )
    refused = {
        e.item_error.item_id: e.item_error.error.reason
        for e in events
        if e.WhichOneof("event") == "item_error"
    }
    assert refused == {
        "empty": "QUERY_EMPTY",
        "many": "TOP_K_TOO_LARGE",
        "space": "SPACE_MISMATCH",
        "longer": "DIMENSION_MISMATCH",
        "far": "OFFSET_TOO_LARGE",
        "parts": "TOO_MANY_PARTS",
        "weight": "WEIGHT_INVALID",
        "endless": "WEIGHT_INVALID",
        "none": "QUERY_EMPTY",
        "opposed": "PARTS_OPPOSED",
        "similar": "SIMILARITY_INVALID",
        "tags": "TOO_MANY_TAGS",
        "key": "METADATA_INVALID",
        "time": "TIME_INVALID",
    }
    assert [hit_ids(e) for e in events if e.WhichOneof("event") == "result"] == [["d"]]


def test_what_is_named_a_million_times_is_looked_for_or_left_out_once() -> None:
    wanted = [media_pb2.MODALITY_AUDIO, media_pb2.MODALITY_IMAGE] * 500_000
    unwanted = [evidence_pb2.EVIDENCE_ORIGIN_OCR, evidence_pb2.EVIDENCE_ORIGIN_LABEL] * 500_000
    message = search_pb2.SearchQuery(text="x", modalities=wanted, excluded_origins=unwanted)
    scope = read_query(message, "tenant", SPACE).scope
    assert sorted(scope.modalities) == ["audio", "image"]
    assert sorted(scope.excluded_origins) == ["label", "ocr"]


async def test_a_large_result_fits_the_message(stub: Any) -> None:
    await index(stub, *(document(f"d{n}", 1, n, text="word " * 3000) for n in range(300)))
    query = search_pb2.SearchQuery(embedding=embedding(1, 0), top_k=1000)
    _, result, _ = await search(stub, query)
    assert hit_ids(result) == [f"d{n}" for n in range(len(hit_ids(result)))]
    assert 150 < len(hit_ids(result)) < 300


async def test_modalities_and_assets_narrow_a_query(stub: Any) -> None:
    await index(
        stub,
        document("seen", 1, 0, modality=media_pb2.MODALITY_IMAGE, asset_id="photo"),
        document("heard", 1, 0, modality=media_pb2.MODALITY_AUDIO, asset_id="memo"),
    )
    vector = embedding(1, 0)
    audio = [media_pb2.MODALITY_AUDIO]
    labels = [evidence_pb2.EVIDENCE_ORIGIN_LABEL]
    for query, expected in (
        (search_pb2.SearchQuery(embedding=vector), ["heard", "seen"]),
        (search_pb2.SearchQuery(embedding=vector, modalities=audio), ["heard"]),
        (search_pb2.SearchQuery(embedding=vector, asset_ids=["photo"]), ["seen"]),
        (search_pb2.SearchQuery(embedding=vector, user_id="eve"), []),
        (search_pb2.SearchQuery(embedding=vector, excluded_origins=labels), []),
    ):
        _, result, _ = await search(stub, query)
        assert hit_ids(result) == expected


async def test_a_part_of_weight_0_is_as_if_it_were_not_there(stub: Any) -> None:
    await index(
        stub,
        document("near", 1, 0.1, text="a stone"),
        document("far", 0, 1, text="a bear"),
        document("between", 1, 1, text="a bear by a river"),
    )
    one, other = embedding(1, 0), embedding(0, 1)
    for whole, parts in (
        ([part(embedding=one)], [part(embedding=one), part(0, embedding=other)]),
        ([part(embedding=one)], [part(5, embedding=one), part(0, text="bear")]),
        ([part(text="bear")], [part(0.1, text="bear"), part(0, embedding=one)]),
    ):
        results = [
            (await search(stub, search_pb2.SearchQuery(parts=each)))[1].result
            for each in (whole, parts)
        ]
        assert len(results[0].hits) >= 2
        assert results[0] == results[1]


async def test_filters_narrow_a_query(stub: Any) -> None:
    old, new = document("old", 1, 0, asset_id="a"), document("new", 1, 0, asset_id="b")
    new.create_time.FromMicroseconds(1_800_000_000_000_000)
    new.tags[:] = ["holiday", "sea"]
    new.metadata.update({"project": "harbour", "note": "it's"})
    await index(stub, old, new)
    later = new.create_time
    for narrowed, expected in (
        ({"tags": ["holiday"]}, ["new", "old"]),
        ({"tags": ["sea", "holiday"]}, ["new"]),
        ({"metadata": {"project": "harbour", "note": "it's"}}, ["new"]),
        ({"metadata": {"project": "harbou"}}, []),
        ({"create_time_min": later}, ["new"]),
        ({"create_time_max": later}, ["old"]),
        ({"excluded_asset_ids": ["b"]}, ["old"]),
        ({"similarity_min": 0.5}, ["new", "old"]),
        ({"similarity_min": 0.5, "offset": 1}, ["old"]),
    ):
        query = search_pb2.SearchQuery(embedding=embedding(1, 0.2), **narrowed)
        _, result, _ = await search(stub, query)
        assert hit_ids(result) == expected, narrowed
    query = search_pb2.SearchQuery(embedding=embedding(0, 1), similarity_min=0.5)
    assert hit_ids((await search(stub, query))[1]) == []


async def test_documents_come_without_their_vectors_if_nobody_wants_them(stub: Any) -> None:
    await index(stub, document("d", 1, 0))
    requests = [
        SearchRequest(config=search_pb2.SearchConfig(omit_embeddings=True)),
        SearchRequest(query=search_pb2.SearchQuery(embedding=embedding(1, 0))),
    ]
    ready, result, _ = [event async for event in stub.StreamingSearch(iter(requests))]
    assert ready.ready.effective_config.omit_embeddings
    (hit,) = result.result.hits
    assert hit.similarity == pytest.approx(1)
    assert not hit.document.HasField("embedding")


async def test_look_alikes_are_found_among_the_tenants_own(stub: Any) -> None:
    for tenant in ("acme", "umbrella"):
        alike = document("alike", 1, 0, asset_id=f"of-{tenant}", at_ms=2_000)
        alike.perceptual_hash = (1 << 63) | 0b1011
        plain = document("plain", 1, 0, asset_id="plain")
        await index(stub, alike, plain, tenant=tenant)
    request = search_pb2.FindNearDuplicatesRequest(
        perceptual_hashes=[0, (1 << 63) | 0b1000], hamming_distance_max=2
    )
    found = await stub.FindNearDuplicates(request, metadata=as_tenant("acme"))
    (only,) = found.near_duplicates
    assert (only.asset_id, only.hamming_distance, only.query_index) == ("of-acme", 2, 1)
    assert only.locator.span.start.seconds == 2
    request.excluded_asset_ids.append("of-acme")
    assert not (await stub.FindNearDuplicates(request, metadata=as_tenant("acme"))).near_duplicates


@pytest.mark.parametrize(
    ("hashes", "distance", "reason"),
    [([], 0, "HASHES_MISSING"), ([1] * 257, 0, "TOO_MANY_HASHES"), ([1], 17, "DISTANCE_TOO_LARGE")],
)
async def test_a_search_for_look_alikes_past_its_limits_is_refused(
    stub: Any, hashes: list[int], distance: int, reason: str
) -> None:
    request = search_pb2.FindNearDuplicatesRequest(
        perceptual_hashes=hashes, hamming_distance_max=distance
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.FindNearDuplicates(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    (detail, *_) = rpc_status.from_call(caught.value).details
    assert reason in detail.value.decode(errors="replace")


async def test_documents_are_listed_by_asset_and_time_with_their_vectors(stub: Any) -> None:
    await index(
        stub,
        document("late", 1, 0, at_ms=9_000),
        document("early", 0, 1, at_ms=2_000),
        document("other", 1, 0, asset_id="other"),
    )
    request = search_pb2.ListDocumentsRequest(asset_ids=["other", "nothing", "clip"])
    listed = [response.document async for response in stub.ListDocuments(request)]
    assert [d.evidence.evidence_id for d in listed] == ["other", "early", "late"]
    assert listed[1] == document("early", 0, 1, at_ms=2_000)


async def test_a_tenant_deletes_and_counts_only_its_own(stub: Any) -> None:
    for tenant in ("acme", "umbrella"):
        await index(stub, document("same", 1, 0, text=f"of {tenant}"), tenant=tenant)
    request = search_pb2.DeleteDocumentsRequest(asset_ids=["clip"])
    deleted = await stub.DeleteDocuments(request, metadata=as_tenant("acme"))
    assert deleted.document_count == 1
    query = search_pb2.SearchQuery(embedding=embedding(1, 0))
    for tenant, expected in (("acme", []), ("umbrella", ["of umbrella"])):
        _, result, _ = await search(stub, query, tenant=tenant)
        assert [hit.document.evidence.text for hit in result.result.hits] == expected
        stats = await stub.GetStats(search_pb2.GetStatsRequest(), metadata=as_tenant(tenant))
        assert [(s.space, s.document_count) for s in stats.spaces] == [(SPACE, 1) for _ in expected]


Call = Callable[[Any], Any]


async def _drain(call: Any) -> None:
    if isinstance(call, grpc.aio.UnaryUnaryCall):
        await call
        return
    async for _ in call:
        pass


def _stream(method: str, requests: Iterable[Any]) -> Call:
    return lambda stub: getattr(stub, method)(iter(list(requests)))


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (
            _stream("StreamingSearch", [SearchRequest(query=search_pb2.SearchQuery())]),
            "CONFIG_EXPECTED",
        ),
        (_stream("StreamingIndex", [index_config(), index_config()]), "CONFIG_REPEATED"),
        (
            _stream("StreamingIndex", [IndexRequest(config=search_pb2.IndexConfig(space="../x"))]),
            "SPACE_INVALID",
        ),
        (lambda stub: stub.ListDocuments(search_pb2.ListDocumentsRequest()), "ASSET_IDS_MISSING"),
        (
            lambda stub: stub.DeleteDocuments(search_pb2.DeleteDocumentsRequest()),
            "ASSET_IDS_MISSING",
        ),
        (
            lambda stub: stub.DeleteDocuments(
                search_pb2.DeleteDocumentsRequest(asset_ids=[str(n) for n in range(101)])
            ),
            "TOO_MANY_ASSETS",
        ),
    ],
)
async def test_mistakes_are_told(stub: Any, start: Call, reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _drain(start(stub))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert reason in str(status.details[0])
