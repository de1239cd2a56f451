"""Whether the media store and the index agree, and making them agree again.

It asks the stages that have both open, so it needs no lock on the data folder
and runs beside everything else; what looks wrong is looked at again before it
is told, because it may just be changing.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import check_pb2, media_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import (
    canonical_id,
    delete_documents,
    get_asset,
    list_assets,
    list_documents,
)
from services.gateway.deletion import Deleter
from services.gateway.index_outcome import outcome
from services.gateway.indexing import Indexer
from services.gateway.ledger import AssetEntry
from services.gateway.stages import Stages
from services.runtime.calls import CallScope, call_unary, read_stage
from services.runtime.errors import InternalFailure, NotFound

_LOST = (check_pb2.FAULT_BYTES_MISSING, check_pb2.FAULT_BYTES_DAMAGED)


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks a tenant, and mends where it is told to."""

    stages: Stages
    indexer: Indexer
    deleter: Deleter

    async def check(
        self, scope: CallScope, request: gateway_pb2.CheckRequest
    ) -> AsyncGenerator[gateway_pb2.CheckResponse, None]:
        """Findings, then the summary."""
        check = _Check(self, scope, request.repair)
        summary = check.summary
        for part in (check.store(request.deep), check.index()):
            async for finding in part:
                summary.finding_count += 1
                summary.repaired_count += finding.repaired
                yield gateway_pb2.CheckResponse(finding=finding)
        yield gateway_pb2.CheckResponse(summary=summary)


@dataclass(frozen=True, slots=True)
class _Check:
    """One check of one tenant."""

    checker: Checker
    scope: CallScope
    repair: bool
    summary: gateway_pb2.CheckSummary = field(default_factory=gateway_pb2.CheckSummary)

    # --- records and bytes, which ingest checks ------------------------------------------------

    async def store(self, deep: bool) -> AsyncIterator[check_pb2.Finding]:
        """What is wrong in the media store."""
        request = ingest_pb2.CheckStoreRequest(deep=deep, repair=self.repair)
        stages = self.checker.stages
        async for response in read_stage(stages.ingest.CheckStore, request, self.scope):
            finding: check_pb2.Finding = response.finding
            if finding.fault == check_pb2.FAULT_DELETION_UNFINISHED:
                if self.checker.deleter.is_running(self.scope, finding.asset_id):
                    continue
                finding.repaired = self.repair and await self._delete(finding.asset_id)
            elif finding.fault in _LOST:
                finding.repaired = self.repair and await self._delete(finding.asset_id)
            yield finding

    async def _delete(self, asset_id: str) -> bool:
        try:
            await self.checker.deleter.delete(self.scope, asset_id)
        except NotFound:
            return True  # somebody else was first
        return True

    # --- the index beside them -----------------------------------------------------------------

    async def index(self) -> AsyncIterator[check_pb2.Finding]:
        """Where the index and the records disagree."""
        stages, scope = self.checker.stages, self.scope
        request = search_pb2.CountDocumentsRequest()
        counts = {
            counted.asset_id: counted
            async for counted in read_stage(stages.search.CountDocuments, request, scope)
        }
        self.summary.document_count = sum(found.document_count for found in counts.values())
        async for asset in list_assets(stages, scope):
            self.summary.asset_count += 1
            if asset.duplicate_of:
                continue
            counted = counts.pop(asset.asset_id, search_pb2.CountDocumentsResponse())
            if not asset.indexed:
                self.summary.unindexed_count += 1
            elif finding := await self._of_indexed(asset, counted):
                yield finding
        for asset_id in counts:
            if finding := await self._of_nobody(asset_id):
                yield finding

    async def _of_indexed(
        self, asset: media_pb2.Asset, counted: search_pb2.CountDocumentsResponse
    ) -> check_pb2.Finding | None:
        """What is wrong with the documents of an asset that was indexed."""
        distinct_count = counted.document_count - counted.repeated_count
        if counted.repeated_count:
            fault = check_pb2.FAULT_DOCUMENTS_REPEATED
            message = f"{counted.repeated_count} of its documents are in the index twice"
        elif distinct_count != asset.document_count:
            async with self.checker.indexer.writing(self.scope, asset.asset_id):
                current = await self._current(asset.asset_id)
                there = await list_documents(self.checker.stages, self.scope, asset.asset_id)
            # It was deleted or indexed in the meantime.
            if current is None or not current.indexed or len(there) == current.document_count:
                return None
            fault = check_pb2.FAULT_DOCUMENTS_WRONG
            message = f"{current.document_count} documents were written, {len(there)} are there"
        else:
            return None
        repaired = self.repair and await self._index_anew(asset)
        return check_pb2.Finding(
            fault=fault, asset_id=asset.asset_id, message=message, repaired=repaired
        )

    async def _index_anew(self, asset: media_pb2.Asset) -> bool:
        stages, scope, indexer = self.checker.stages, self.scope, self.checker.indexer
        async with indexer.writing(scope, asset.asset_id):
            unmark = ingest_pb2.UnmarkIndexedRequest(asset_id=asset.asset_id)
            await call_unary(stages.ingest.UnmarkIndexed, unmark, scope)
            await delete_documents(stages, scope, [asset.asset_id])
        await outcome(indexer.submit(AssetEntry(asset.info, asset), scope))
        return True

    async def _of_nobody(self, asset_id: str) -> check_pb2.Finding | None:
        """Documents of an asset that was in no list: of one that came since, or of none."""
        stages, scope = self.checker.stages, self.scope
        async with self.checker.indexer.writing(scope, asset_id):
            try:
                current = await self._current(asset_id)
            except InternalFailure as error:
                if error.reason != "RECORD_DAMAGED":
                    raise
                return None  # that was told; its documents go with its record
            if current is not None and canonical_id(current) == asset_id:
                return None
            if not await list_documents(stages, scope, asset_id):
                return None
            if self.repair:
                await delete_documents(stages, scope, [asset_id])
        return check_pb2.Finding(
            fault=check_pb2.FAULT_DOCUMENTS_ORPHANED,
            asset_id=asset_id,
            message="the index holds documents of it, but there is no such asset",
            repaired=self.repair,
        )

    async def _current(self, asset_id: str) -> media_pb2.Asset | None:
        try:
            return await get_asset(self.checker.stages, self.scope, asset_id)
        except NotFound:
            return None
