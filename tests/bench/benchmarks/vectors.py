"""Nearest neighbours as a table grows: recall and latency, beside LanceDB called directly.

The table grows from 10,000 to 500,000 rows. It is filled in bulk, straight through the
schema of the search service (half a million writes by gRPC are another benchmark); its
indexes are built by the service's own policy. The server runs in a process of its own;
its answers and those of LanceDB in this process come in turns, one at a time.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from sensorium.media.v1 import media_pb2
from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.calls import TENANT_KEY
from services.runtime.channel import open_channel
from services.search.filters import Scope
from services.search.indexes import (
    DISTANCE,
    IndexPolicy,
    Probe,
    Size,
    choose_probe,
    partition_count,
)
from services.search.maintenance import IndexBuilder
from services.search.query import SPARE_ROWS
from services.search.record import Record
from services.search.schema import READ_COLUMNS, VECTOR, to_arrow
from services.search.tables import Tables, indexes_of
from tests.bench.__main__ import QUICK_REPEATS
from tests.bench.clusters import DIMENSION, SHARES, Clusters, Vectors, nearest
from tests.bench.estimates import percentile
from tests.bench.plot import Chart, svg
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

SIZES = (10_000, 50_000, 100_000, 200_000, 500_000)
QUICK_SIZES = SIZES[:2]
QUERIES = 200
TOP_K = 10
SPACE = "clustered"

RECALL_MIN = 0.95
P95_MAX_MS = 25.0
OVERHEAD_MAX_MS = 3.0

_BATCH_ROWS = 10_000
_WARM_UP = 20
_MODALITIES = ("image", "video", "audio", "text")


@dataclass(slots=True)
class _Measured:
    """Queries of one tenant on a table of one size."""

    row_count: int
    tenant: str
    recall: list[float] = field(default_factory=list)
    direct_recall: list[float] = field(default_factory=list)
    grpc_ms: list[float] = field(default_factory=list)
    direct_ms: list[float] = field(default_factory=list)

    @property
    def overhead_ms(self) -> float:
        pairs = zip(self.grpc_ms, self.direct_ms, strict=True)
        return median(ours - theirs for ours, theirs in pairs)


@dataclass(slots=True)
class _Table:
    """The table while it grows, and all that is in it."""

    tables: Tables
    clusters: Clusters
    vectors: Vectors
    tenants: Any
    row_count: int = 0
    notes: list[str] = field(default_factory=list)

    async def grow(self, row_count: int) -> None:
        """Fills it up to so many rows, compacts it and builds what its size asks for."""
        began = time.perf_counter()
        table = await self.tables.find_or_create(SPACE, DIMENSION)
        for start in range(self.row_count, row_count, _BATCH_ROWS):
            rows = await asyncio.to_thread(self._rows, start, start + _BATCH_ROWS)
            await table.add(rows)
        loaded = time.perf_counter()
        await table.optimize()
        compacted = time.perf_counter()
        builder = IndexBuilder(self.tables, IndexPolicy())
        builder.start(SPACE)
        # It tells nobody when it is done.
        while builder.building(SPACE):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self.row_count = row_count
        count = partition_count(await indexes_of(table))
        size_bytes = _size_bytes(self.tables.path(SPACE))
        self.notes.append(
            f"{row_count:,} rows: loaded in {loaded - began:.1f} s, compacted in "
            f"{compacted - loaded:.1f} s, indexes built in {time.perf_counter() - compacted:.1f} s "
            f"({count} partitions), {size_bytes / 1e6:.0f} MB on the disk"
        )

    def exact(self, tenant: str, queries: Vectors) -> list[set[str]]:
        """The ids of the nearest rows of a tenant to each query."""
        owned = np.flatnonzero(self.tenants[: self.row_count] == tenant)
        found = nearest(self.vectors[owned], queries, TOP_K)
        return [{f"d{owned[place]}" for place in places} for places in found]

    def _rows(self, start: int, stop: int) -> Any:
        return to_arrow([self._record(number) for number in range(start, stop)], DIMENSION)

    def _record(self, number: int) -> Record:
        asset = f"asset-{number // 20}"
        return Record(
            tenant_id=str(self.tenants[number]),
            document_id=f"d{number}",
            segment_id=f"{asset}/frame/{number % 20}",
            asset_id=asset,
            asset_name=f"{asset}.mp4",
            asset_sha256=f"{number // 20:064x}",
            user_id=f"user-{number % 100}",
            modality=_MODALITIES[number // 20 % len(_MODALITIES)],
            segment_kind="video_frame",
            origin="label",
            text=f"frame {number} of {asset}",
            confidence=1.0,
            span=None,
            region=None,
            chars=None,
            tags=(f"tag-{number % 10}",),
            metadata={},
            create_time_us=1_700_000_000_000_000 + number,
            perceptual_hash=None,
            vector=self.vectors[number],
        )


async def run(plan: Plan) -> list[Row]:
    """Once for each size: the queries are the repeats."""
    sizes = QUICK_SIZES if plan.repeats <= QUICK_REPEATS else SIZES
    clusters = Clusters.seeded(0)
    plan.say(f"drawing {sizes[-1]:,} vectors")
    vectors = await asyncio.to_thread(clusters.draw, sizes[-1])
    tenants, queries = clusters.draw_tenants(sizes[-1]), clusters.draw(QUERIES)
    measured: list[_Measured] = []
    async with serving(plan.folder, "search") as server:
        tables = Tables(server.data_dir / "lancedb")
        await tables.connect()
        table = _Table(tables, clusters, vectors, tenants)
        for size in sizes:
            await table.grow(size)
            plan.say(table.notes[-1])
            for tenant in SHARES:
                exact = table.exact(tenant, queries)
                one = await _measure(server.address, table, _Measured(size, tenant), queries, exact)
                measured.append(one)
                plan.say(f"{tenant}: {_describe(one)}; directly {_describe_direct(one)}")
        tables.close()
    path = plan.folder / "vectors.svg"
    path.write_text(svg(_charts(measured)))
    return _rows(measured, table.notes, path)


async def _measure(
    address: str,
    table: _Table,
    measured: _Measured,
    queries: Vectors,
    exact: Sequence[set[str]],
) -> _Measured:
    """Each query by gRPC and then by LanceDB itself; the first few warm up both."""
    direct = await _Direct.to(table.tables, measured.tenant)
    async with open_channel(address) as channel:
        call = search_pb2_grpc.SearchServiceStub(channel).StreamingSearch(
            metadata=((TENANT_KEY, measured.tenant),)
        )
        config = search_pb2.SearchConfig(space=SPACE)
        answers = aiter(call)
        await call.write(search_pb2.StreamingSearchRequest(config=config))
        await anext(answers)
        for index in [*range(_WARM_UP), *range(len(queries))]:
            began = time.perf_counter()
            await call.write(_request(queries[index]))
            answer = await anext(answers)
            asked = time.perf_counter()
            found = await direct.ask(queries[index])
            done = time.perf_counter()
            measured.grpc_ms.append(1e3 * (asked - began))
            measured.direct_ms.append(1e3 * (done - asked))
            hits = {hit.document.evidence.evidence_id for hit in answer.result.hits}
            measured.recall.append(len(hits & exact[index]) / TOP_K)
            measured.direct_recall.append(len(found & exact[index]) / TOP_K)
        await call.done_writing()
        async for _ in answers:
            pass  # the summary
    for samples in (measured.grpc_ms, measured.direct_ms, measured.recall, measured.direct_recall):
        del samples[:_WARM_UP]
    return measured


@dataclass(frozen=True, slots=True)
class _Direct:
    """LanceDB as a program would call it that knows beforehand how much of the index to
    read: it asks for ten rows, and for as many candidates as the server compares."""

    table: Any
    condition: str
    probe: Probe | None

    @classmethod
    async def to(cls, tables: Tables, tenant: str) -> "_Direct":
        table, condition = await tables.find(SPACE), Scope(tenant).sql()
        assert table is not None
        size = Size(
            await table.count_rows(),
            await table.count_rows(condition),
            partition_count(await indexes_of(table)),
        )
        return cls(table, condition, choose_probe(size, TOP_K + SPARE_ROWS))

    async def ask(self, vector: Vectors) -> set[str]:
        """The ids of the nearest ten rows."""
        query = self.table.query().nearest_to(vector).column(VECTOR).distance_type(DISTANCE)
        if self.probe is None:
            query = query.bypass_vector_index()
        else:
            candidates = self.probe.refine_factor * (TOP_K + SPARE_ROWS)
            query = query.nprobes(self.probe.partition_count)
            query = query.refine_factor(candidates // TOP_K)
        query = (
            query.where(self.condition)
            .select(["document_id", *READ_COLUMNS, "_distance"])
            .limit(TOP_K)
        )
        rows = await query.to_arrow()
        return set(rows.column("document_id").to_pylist())


def _request(query: Vectors) -> search_pb2.StreamingSearchRequest:
    embedding = media_pb2.Embedding(
        space=SPACE,
        dtype=media_pb2.VECTOR_DTYPE_FLOAT32,
        dimension=DIMENSION,
        data=query.astype("<f4").tobytes(),
    )
    return search_pb2.StreamingSearchRequest(
        query=search_pb2.SearchQuery(query_id="q", embedding=embedding, top_k=TOP_K)
    )


def _size_bytes(folder: Path | None) -> int:
    assert folder is not None
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _describe(one: _Measured) -> str:
    return f"recall {mean(one.recall):.3f}, {_times(one.grpc_ms)}"


def _describe_direct(one: _Measured) -> str:
    return f"{mean(one.direct_recall):.3f}, {_times(one.direct_ms)}"


def _times(samples: Sequence[float]) -> str:
    return f"p50 {median(samples):.1f} ms, p95 {percentile(samples, 95):.1f} ms"


def _rows(measured: Sequence[_Measured], notes: Sequence[str], path: Path) -> list[Row]:
    about = (
        f"recall@{TOP_K} against an exact search, {QUERIES} new queries for each tenant; one "
        f"query at a time, on the same cores. The plot: {path}"
    )
    rows = [_row(one) for one in measured]
    rows[-1] = replace(rows[-1], notes=[about, *notes])
    return rows


def _row(one: _Measured) -> Row:
    met = (
        mean(one.recall) >= RECALL_MIN
        and percentile(one.grpc_ms, 95) <= P95_MAX_MS
        and one.overhead_ms <= OVERHEAD_MAX_MS
    )
    return Row(
        name=f"vectors: {one.row_count:,} rows, {SHARES[one.tenant]:.0%} of them the tenant's",
        measured=_describe(one),
        against=f"LanceDB directly: {_describe_direct(one)}; {one.overhead_ms:+.1f} ms",
        target=f"recall ≥ {RECALL_MIN}, p95 ≤ {P95_MAX_MS:.0f} ms, ≤ +{OVERHEAD_MAX_MS:.0f} ms",
        met=met,
        samples=_samples(one),
    )


def _samples(one: _Measured) -> Mapping[str, Sequence[float]]:
    return {"grpc_ms": one.grpc_ms, "direct_ms": one.direct_ms, "recall": one.recall}


def _charts(measured: Sequence[_Measured]) -> list[Chart]:
    def lines(value: Any) -> dict[str, list[tuple[float, float]]]:
        return {
            f"{SHARES[tenant]:.0%} tenant": [
                (one.row_count, value(one)) for one in measured if one.tenant == tenant
            ]
            for tenant in SHARES
        }

    def named(kind: str, value: Any) -> dict[str, list[tuple[float, float]]]:
        return {f"{name}, {kind}": line for name, line in lines(value).items()}

    times = {
        **named("gRPC", lambda one: percentile(one.grpc_ms, 95)),
        **named("direct", lambda one: percentile(one.direct_ms, 95)),
    }
    return [
        Chart("p95 in ms by rows of the table", times, limit=P95_MAX_MS),
        Chart(
            f"recall@{TOP_K} by rows of the table",
            lines(lambda one: mean(one.recall)),
            low=0.8,
            limit=RECALL_MIN,
        ),
    ]
