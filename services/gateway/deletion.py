"""Assets out of everything that knows them: what was begun is ended, whatever happens."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Protocol

from sensorium.encode.v1 import encode_pb2
from sensorium.ingest.v1 import ingest_pb2

from services.gateway.catalogue import delete_documents, every_tenant, get_asset
from services.gateway.indexing import Indexer
from services.gateway.ledger import AssetEntry
from services.gateway.stages import Stages
from services.runtime import telemetry
from services.runtime.calls import CallScope, call_unary
from services.runtime.errors import InternalFailure, NotFound, SensoriumError

log = logging.getLogger(__name__)


class Remembering(Protocol):
    """Something of the gateway's own that remembers assets."""

    async def forget_asset(self, scope: CallScope, asset_id: str) -> None:
        """Remember an asset no more. Doing it again is harmless."""


class Deleter:
    """Deletes assets. A deletion outlives the call that asked for it, but not the server.

    First the media store makes the asset invisible, durably. Then goes what the
    index, conversations, the caches and, last, the media store itself hold of it. What a crash
    or a failing stage cut off is completed by ``catch_up`` at the next start.
    """

    def __init__(
        self, stages: Stages, indexer: Indexer, remembering: Iterable[Remembering] = ()
    ) -> None:
        self._stages = stages
        self._indexer = indexer
        self._remembering = tuple(remembering)
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def is_running(self, scope: CallScope, asset_id: str) -> bool:
        """Whether an asset is being deleted by this gateway now."""
        return (scope.tenant_id, asset_id) in self._running

    async def delete(self, scope: CallScope, asset_id: str) -> None:
        """Delete an asset. A second call meanwhile waits for the first.

        Raises:
            NotFound: ``ASSET_NOT_FOUND``.
        """
        key = (scope.tenant_id, asset_id)
        running = self._running.get(key)
        if running is None:
            # The client's deadline is not the deletion's.
            lasting = CallScope(scope.tenant_id, scope.user_id)
            running = asyncio.create_task(self._delete(lasting, asset_id))
            self._running[key] = running
            running.add_done_callback(lambda _: self._running.pop(key))
        await asyncio.shield(running)

    async def catch_up(self) -> None:
        """Complete what was begun. Errors are logged: the next start tries again. One asset that
        fails does not hold up the others."""
        try:
            for scope in await every_tenant(self._stages):
                request = ingest_pb2.ListDeletionsRequest()
                begun = await call_unary(self._stages.ingest.ListDeletions, request, scope)
                for asset_id in begun.asset_ids:
                    log.info("completing a deletion that was cut off")
                    try:
                        await self.delete(scope, asset_id)
                    except InternalFailure as error:
                        log.warning("could not complete a deletion: %s", error)
        except SensoriumError as error:
            log.warning("could not complete all deletions: %s", error)

    async def close(self) -> None:
        """Stop all deletions."""
        running = list(self._running.values())
        for deletion in running:
            deletion.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _delete(self, scope: CallScope, asset_id: str) -> None:
        with telemetry.span("gateway.delete", asset_id=asset_id):
            request = ingest_pb2.DeleteAssetRequest(asset_id=asset_id)
            begun = await call_unary(self._stages.ingest.DeleteAsset, request, scope)
            if begun.promoted_asset_id:
                # At once: it is told this one time only, whether the rest succeeds or not.
                await self._index(scope, begun.promoted_asset_id)
            await self._indexer.abandon(scope, asset_id)
            async with self._indexer.writing(scope, asset_id):
                await delete_documents(self._stages, scope, [asset_id])
            for each in self._remembering:
                await each.forget_asset(scope, asset_id)
            forgotten = encode_pb2.ForgetAssetsRequest(asset_ids=[asset_id])
            await call_unary(self._stages.encode.ForgetAssets, forgotten, scope)
            purged = ingest_pb2.PurgeAssetRequest(asset_id=asset_id)
            await call_unary(self._stages.ingest.PurgeAsset, purged, scope)

    async def _index(self, scope: CallScope, asset_id: str) -> None:
        with contextlib.suppress(NotFound):  # it may be deleted too
            asset = await get_asset(self._stages, scope, asset_id)
            self._indexer.submit(AssetEntry(asset.info, asset), scope)
