"""Memory of the search server after many writes of one document each.

Every write makes a version of the table, a file and a manifest; what is kept of them
in memory is what this looks for. A few streams write at once, each its next document
when the last is acknowledged.
"""

import asyncio
import time
from collections.abc import Iterator
from statistics import median

import numpy as np
from sensorium.media.v1 import evidence_pb2, media_pb2
from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.channel import open_channel
from tests.bench.__main__ import QUICK_REPEATS
from tests.bench.clusters import DIMENSION
from tests.bench.estimates import percentile
from tests.bench.results import Plan, Row
from tests.bench.servers import Server, serving

WRITES = 20_000
QUICK_WRITES = 2_000
STREAMS = 16
LIMIT_BYTES = 300_000_000
_WARM_UP = 200
_SAMPLES = 10


async def run(plan: Plan) -> list[Row]:
    """Warm up, note what is held, write, and note it again."""
    writes = QUICK_WRITES if plan.repeats <= QUICK_REPEATS else WRITES
    async with serving(plan.folder, "search") as server:
        await _write(server, "warm", _WARM_UP)
        warm_bytes = server.resident_bytes()
        server.forget_peak()
        held: list[float] = []
        latencies_ms: list[float] = []
        began = time.perf_counter()
        for part in range(_SAMPLES):
            latencies_ms += await _write(server, f"part-{part}", writes // _SAMPLES)
            held.append(server.resident_bytes() - warm_bytes)
            plan.say(f"{(part + 1) * writes // _SAMPLES:,} writes: {held[-1] / 1e6:+.0f} MB")
        elapsed_s = time.perf_counter() - began
        peak_bytes = server.peak_resident_bytes() - warm_bytes
        size_bytes = sum(
            path.stat().st_size for path in server.data_dir.rglob("*") if path.is_file()
        )
    return [
        Row(
            name=f"memory: {writes:,} writes of one document",
            measured=f"{held[-1] / 1e6:+.0f} MB after them, {peak_bytes / 1e6:+.0f} MB at most",
            against=f"warm level of {warm_bytes / 1e6:.0f} MB",
            target=f"≤ +{LIMIT_BYTES / 1e6:.0f} MB",
            met=peak_bytes <= LIMIT_BYTES,
            notes=[
                f"{STREAMS} streams, each its next document when the last is acknowledged: "
                f"{writes / elapsed_s:.0f} writes/s, p50 {median(latencies_ms):.0f} ms, p95 "
                f"{percentile(latencies_ms, 95):.0f} ms, {max(latencies_ms):.0f} ms at most",
                f"{size_bytes / 1e6:.0f} MB on the disk after them",
            ],
            samples={"above_warm_bytes": held},
        )
    ]


async def _write(server: Server, prefix: str, count: int) -> list[float]:
    """Milliseconds from each document to its acknowledgement."""
    async with open_channel(server.address) as channel:
        stub = search_pb2_grpc.SearchServiceStub(channel)
        parts = await asyncio.gather(
            *(
                _write_stream(stub, f"{prefix}-{stream}", count // STREAMS)
                for stream in range(STREAMS)
            )
        )
    return [latency_ms for part in parts for latency_ms in part]


async def _write_stream(
    stub: "search_pb2_grpc.SearchServiceAsyncStub", prefix: str, count: int
) -> list[float]:
    call = stub.StreamingIndex()
    answers = aiter(call)
    await call.write(search_pb2.StreamingIndexRequest(config=search_pb2.IndexConfig()))
    ready = await anext(answers)
    latencies_ms = []
    for document in _documents(ready.ready.effective_config.space, prefix, count):
        began = time.perf_counter()
        await call.write(search_pb2.StreamingIndexRequest(document=document))
        answer = await anext(answers)
        assert answer.WhichOneof("event") == "ack", answer
        latencies_ms.append(1e3 * (time.perf_counter() - began))
    await call.done_writing()
    async for _ in answers:
        pass  # the summary
    return latencies_ms


def _documents(space: str, prefix: str, count: int) -> Iterator[search_pb2.Document]:
    chance = np.random.default_rng([*prefix.encode()])
    for number in range(count):
        vector = chance.standard_normal(DIMENSION, dtype=np.float32)
        vector /= np.linalg.norm(vector)
        name = f"{prefix}-{number}"
        yield search_pb2.Document(
            evidence=evidence_pb2.Evidence(
                evidence_id=name,
                segment_id=name,
                asset_id=f"{prefix}-{number // 20}",
                asset_name="note.txt",
                modality=media_pb2.MODALITY_TEXT,
                text=f"note {number} of {prefix}",
                confidence=1.0,
            ),
            embedding=media_pb2.Embedding(
                space=space,
                dtype=media_pb2.VECTOR_DTYPE_FLOAT32,
                dimension=DIMENSION,
                data=vector.astype("<f4").tobytes(),
            ),
        )
