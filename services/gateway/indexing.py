"""Committed assets into the index: after the answer, whatever becomes of the client."""

import asyncio
import logging
from collections.abc import AsyncIterator

from sensorium.media.v1 import media_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import canonical_id, list_documents
from services.gateway.ledger import AssetEntry, Ledger
from services.gateway.perception import (
    ALL_TASKS,
    READING_TASKS,
    encode_config,
    encode_segments,
    segment_stored,
)
from services.gateway.stages import Stages
from services.runtime import telemetry
from services.runtime.calls import CallScope, exchange

log = logging.getLogger(__name__)

JOBS_AT_ONCE = 2


class Indexer:
    """Runs index jobs. A job outlives the stream that asked for it, but not the server.

    Work is idempotent: documents replace those of the same id, so a job that
    was cut short by a crash is simply done again when the asset is next used.
    """

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._permits = asyncio.Semaphore(JOBS_AT_ONCE)
        self._jobs: dict[tuple[str, str], asyncio.Task[int]] = {}

    @property
    def pending(self) -> int:
        """Jobs that are not done."""
        return len(self._jobs)

    def submit(self, entry: AssetEntry, scope: CallScope) -> "asyncio.Task[int]":
        """Index a committed asset; the task's result is its number of documents."""
        # The client's deadline is not the job's.
        job = asyncio.create_task(self._run(entry, CallScope(scope.tenant_id, scope.user_id)))
        key = self._key(entry.asset, scope)
        self._jobs[key] = job
        job.add_done_callback(lambda done: self._done(key, done))
        return job

    async def settled(self, asset: media_pb2.Asset, scope: CallScope) -> None:
        """Wait until no job is at work on an asset, whether it succeeds or not."""
        if job := self._jobs.get(self._key(asset, scope)):
            await asyncio.wait({job})

    @staticmethod
    def _key(asset: media_pb2.Asset | None, scope: CallScope) -> tuple[str, str]:
        return scope.tenant_id, canonical_id(asset) if asset else ""

    def _done(self, key: tuple[str, str], job: "asyncio.Task[int]") -> None:
        if self._jobs.get(key) is job:
            del self._jobs[key]
        if not job.cancelled() and (error := job.exception()) is not None:
            log.error("an asset could not be indexed; it will be when it is next used: %s", error)

    async def close(self) -> None:
        """Stop all jobs."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _run(self, entry: AssetEntry, scope: CallScope) -> int:
        asset = entry.asset
        assert asset is not None
        async with self._permits:
            with telemetry.span("gateway.index", asset_id=asset.asset_id):
                known = canonical_id(asset)
                if known != asset.asset_id or not entry.fully_encoded:
                    indexed = await list_documents(self._stages, scope, known)
                    return len(indexed) or await self.index_stored(asset, scope)
                await self._read_writing(entry, scope)
                return await self._write(entry, scope)

    async def index_stored(self, asset: media_pb2.Asset, scope: CallScope) -> int:
        """Perceive a stored asset from its bytes and index it; returns the number of documents."""
        ledger = Ledger()
        known = canonical_id(asset)

        async def segments() -> AsyncIterator[media_pb2.MediaSegment]:
            async for event in segment_stored(self._stages, scope, known):
                ledger.note_ingest(event)
                if event.WhichOneof("event") == "segment":
                    yield event.segment

        config = encode_config(ALL_TASKS, bulk=True)
        async for event in encode_segments(self._stages, scope, config, segments()):
            ledger.note_encode(event)
        entry = ledger.assets[known]
        entry.asset = asset
        return await self._write(entry, scope)

    async def _read_writing(self, entry: AssetEntry, scope: CallScope) -> None:
        """OCR of the pictures that the answer did not wait for."""
        config = encode_config(READING_TASKS, bulk=True)
        unread = entry.take_unread()
        async for event in encode_segments(self._stages, scope, config, unread):
            if event.WhichOneof("event") == "observation":
                entry.observations.append(event.observation)

    async def _write(self, entry: AssetEntry, scope: CallScope) -> int:
        async def requests() -> AsyncIterator[search_pb2.StreamingIndexRequest]:
            yield search_pb2.StreamingIndexRequest(config=search_pb2.IndexConfig())
            for document in entry.documents():
                yield search_pb2.StreamingIndexRequest(document=document)

        count = 0
        async for event in exchange(self._stages.search.StreamingIndex, scope, requests()):
            if event.WhichOneof("event") == "ack":
                count += len(event.ack.document_ids)
        return count
