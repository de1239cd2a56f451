"""Committed assets into the index: after the answer, whatever becomes of the client."""

import asyncio
import contextlib
import logging
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping

from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.catalogue import (
    canonical_id,
    delete_documents,
    every_tenant,
    get_asset,
    list_assets,
    list_documents,
)
from services.gateway.document_writes import DocumentWrites, patiently
from services.gateway.index_outcome import outcome
from services.gateway.judging_stored import judge_stored
from services.gateway.ledger import AssetEntry, Ledger
from services.gateway.moderation import Moderation, tell_nobody
from services.gateway.perception import (
    ALL_TASKS,
    ANSWER_TASKS,
    READING_TASKS,
    each,
    encode_config,
    encode_segments,
    segment_stored,
)
from services.gateway.policy import Policies
from services.gateway.stages import Stages
from services.runtime import telemetry
from services.runtime.calls import CallScope, call_unary
from services.runtime.errors import InvalidInput, NotFound, SensoriumError, Unavailable

log = logging.getLogger(__name__)

_Key = tuple[str, str]
"""A tenant and the id by which the index knows an asset."""

JOBS_AT_ONCE = 2
"""Of those that still have something to perceive: indexing yields to answering."""
WRITES_AT_ONCE = 64
"""Of those that have not: their documents are written together."""
_NO_FAULT = ("CONTENT_BLOCKED", "ASSET_NOT_FOUND")
"""Why an asset may rightly not be indexed: its tenant's policy, or it was deleted meanwhile."""
ASSETS_A_LINE = 100
"""So many stored assets are indexed or judged for each line of the log."""
_INDEXED = "%d stored assets were indexed"
_JUDGED = "%d stored assets were judged by the moderation policy as it is now"
_NOT_LISTED = "could not look for assets that are not indexed: %s"
CATCH_UP_AGAIN_S, CATCH_UP_AGAIN_MAX_S = 30.0, 600.0
"""Where a stage was unavailable it is tried again after so long, then each time twice as long."""
JOBS_WITH_PIXELS_MAX = 8
"""Past so many waiting jobs, pictures are read from the store again rather than kept."""


class Indexer:
    """Runs index jobs. A job outlives the stream that asked for it, but not the server.

    An asset is marked as indexed when all its documents are durable. What a
    crash or a shutdown left unmarked is found by ``catch_up`` at the next start.
    Documents replace those of the same id, so doing a job again is harmless.
    What moderation finds is kept with the asset; one that it blocks is not
    indexed, and not looked at again for as long as the policy blocks it.
    What is indexed is judged by rules that are made later: at the next start,
    or before, when it is asked about and they block.
    """

    def __init__(self, stages: Stages, policies: Policies) -> None:
        self._stages = stages
        self._policies = policies
        self._permits = asyncio.Semaphore(JOBS_AT_ONCE)
        self._write_permits = asyncio.Semaphore(WRITES_AT_ONCE)
        self._writes = DocumentWrites(stages)
        self._jobs: dict[asyncio.Task[int], _Key] = {}
        self._latest: dict[_Key, asyncio.Task[int]] = {}
        self._writing: weakref.WeakValueDictionary[_Key, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )
        self._unfinished: dict[asyncio.Task[int], _Key] = {}

    @property
    def pending(self) -> int:
        """Jobs that are not done."""
        return len(self._jobs)

    def submit(
        self,
        entry: AssetEntry,
        scope: CallScope,
        language: str = "",
        found: asyncio.Event | None = None,
    ) -> "asyncio.Task[int]":
        """Index a committed asset; ``outcome`` waits for its number of documents. ``found`` is
        set when its tiles are named, and when all that is written in it is read.

        The job of one that is blocked keeps that with the asset, and fails with it.
        """
        assert entry.asset is not None
        if self.pending >= JOBS_WITH_PIXELS_MAX and not entry.fully_perceived:
            entry.forget_pictures()
        key = (scope.tenant_id, canonical_id(entry.asset))
        # The client's deadline is not the job's.
        lasting = CallScope(scope.tenant_id, scope.user_id)
        previous = self._latest.get(key)
        job = asyncio.create_task(
            self._run(entry, lasting, language, previous, found or asyncio.Event())
        )
        self._jobs[job] = key
        self._latest[key] = job
        job.add_done_callback(lambda done: self._done(key, done))
        return job

    async def settled(self, asset: media_pb2.Asset, scope: CallScope) -> None:
        """Wait until no job is at work on an asset, whether it succeeds or not."""
        if job := self._latest.get((scope.tenant_id, canonical_id(asset))):
            await asyncio.wait({job})

    async def judged(self, asset: media_pb2.Asset, scope: CallScope) -> media_pb2.Asset:
        """A stored asset as it is once no job is at work on it, judged now in what the policy
        blocks if it was not before. Raises SensoriumError, NotFound."""
        await self.settled(asset, scope)
        current = await get_asset(self._stages, scope, asset.asset_id)
        if self._moderation(scope).withholds(current):
            job = self.submit(AssetEntry(current.info, current), scope)
            await asyncio.wait({job})
            # Of one that was deleted meanwhile, this is the error, not that its job was stopped.
            current = await get_asset(self._stages, scope, asset.asset_id)
            await outcome(job)
        return current

    def writing(self, scope: CallScope, asset_id: str) -> asyncio.Lock:
        """Held while documents of an asset are written or deleted: one after another."""
        return self._writing.setdefault((scope.tenant_id, asset_id), asyncio.Lock())

    async def abandon(self, scope: CallScope, asset_id: str) -> None:
        """Stop the work on an asset that is being deleted; what is being written is waited for."""
        key = (scope.tenant_id, asset_id)
        jobs = [job for job, of in self._jobs.items() if of == key]
        for job in jobs:
            job.cancel()
        writes = [write for write, of in self._unfinished.items() if of == key]
        if jobs or writes:
            await asyncio.wait([*jobs, *writes])

    async def catch_up_all(self) -> None:
        """``catch_up`` with every tenant, again for as long as a stage is unavailable."""
        wait_s = CATCH_UP_AGAIN_S
        while True:
            try:
                scopes = await every_tenant(self._stages)
                if all([await self.catch_up(scope) for scope in scopes]):
                    return
            except SensoriumError as error:
                log.warning(_NOT_LISTED, error)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, CATCH_UP_AGAIN_MAX_S)

    async def catch_up(self, scope: CallScope) -> bool:
        """Index what is stored and not marked, and have the policy as it is now judge what is.
        Errors are logged; false where a stage was unavailable: then it is worth trying again."""
        moderation = self._moderation(scope)
        done: Counter[str] = Counter()
        available = True
        try:
            async for asset in list_assets(self._stages, scope):
                stands = moderation.stands if asset.indexed else moderation.forbids
                if asset.duplicate_of or stands(asset):
                    continue
                job = self.submit(AssetEntry(asset.info, asset), scope)
                await asyncio.wait({job})
                failure = None if job.cancelled() else job.exception()
                available &= not isinstance(failure, Unavailable)
                if not (job.cancelled() or failure):
                    told = _JUDGED if asset.indexed else _INDEXED
                    done[told] += 1
                    if done[told] % ASSETS_A_LINE == 0:
                        log.info(told, done[told])
        except SensoriumError as error:
            log.warning(_NOT_LISTED, error)
            available &= not isinstance(error, Unavailable)
        for told, count in done.items():
            log.info(told, count)
        return available

    def _done(self, key: _Key, job: "asyncio.Task[int]") -> None:
        del self._jobs[job]
        if self._latest.get(key) is job:
            del self._latest[key]
        if job.cancelled() or (error := job.exception()) is None:
            return
        if isinstance(error, SensoriumError) and error.reason in _NO_FAULT:
            log.info("an asset is not indexed: %s", error.message)
        else:
            log.error(
                "an asset could not be indexed or judged; it will be when next used", exc_info=error
            )

    async def close(self) -> None:
        """Stop all jobs."""
        jobs = [*self._jobs, *self._unfinished]
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await self._writes.close()

    async def _run(
        self,
        entry: AssetEntry,
        scope: CallScope,
        language: str,
        previous: "asyncio.Task[int] | None",
        found: asyncio.Event,
    ) -> int:
        asset = entry.asset
        assert asset is not None
        if previous is not None:
            await asyncio.wait({previous})
        is_first = canonical_id(asset) == asset.asset_id
        writes_only = is_first and entry.fully_perceived
        async with self._write_permits if writes_only else self._permits:
            with telemetry.span("gateway.index", asset_id=asset.asset_id):
                if entry.blocked:
                    await self._record([entry], scope, whole=False)
                    raise entry.blocked
                if not is_first or not entry.fully_encoded:
                    count = await self._index_known(entry, scope, language)
                    if entry.fully_encoded and not entry.fully_perceived:
                        # The next question of its conversation rests on the entry. Of known
                        # bytes all of it is in the cache.
                        async with self._recording({asset.asset_id: entry}, scope):
                            await self._complete(entry, scope, found)
                    return count
                async with self._recording({asset.asset_id: entry}, scope):
                    if not writes_only:
                        await self._complete(entry, scope, found)
                return await self._write(entry, scope)

    async def _index_known(self, entry: AssetEntry, scope: CallScope, language: str) -> int:
        """See that the asset whose bytes these are is indexed, and judged by the policy as it is
        now; its number of documents."""
        assert entry.asset is not None
        known = await get_asset(self._stages, scope, canonical_id(entry.asset))
        if not known.indexed:
            return await self.index_stored(known, scope, self._moderation(scope), language)
        moderation = self._moderation(scope)
        if not moderation.stands(known):
            try:
                await judge_stored(self._stages, scope, known, moderation)
            except SensoriumError as error:
                # Who sends equal bytes does not lose by it; a job that has only to judge fails.
                gone = isinstance(error, NotFound)
                if gone or not entry.fully_encoded or moderation.withholds(known):
                    raise
                log.warning("a stored asset could not be judged: %s", error)
        return len(await list_documents(self._stages, scope, known.asset_id))

    async def _complete(self, entry: AssetEntry, scope: CallScope, found: asyncio.Event) -> None:
        """Perceive what the answer did without: tiles, and writing in the other pictures."""
        moderation = self._moderation(scope)
        tiles = dict(entry.deferred)
        config = encode_config(ANSWER_TASKS, bulk=True, moderated=moderation.categories)
        async for event in encode_segments(self._stages, scope, config, each(tiles.values())):
            entry.note_encode(event)
            await moderation.media(lambda _: entry, event)
        # Naming them is quick and reading them is not: what they show is known before.
        entry.unread |= tiles
        found.set()
        config = encode_config(READING_TASKS, bulk=True, moderated=moderation.categories)
        unread = each(entry.unread.values())
        async for event in encode_segments(self._stages, scope, config, unread):
            entry.note_reading(event)
            await moderation.media(lambda _: entry, event)
        found.set()

    def _moderation(self, scope: CallScope) -> Moderation:
        policy = self._policies.of(scope.tenant_id)
        return Moderation(self._stages, scope, policy, tell_nobody)

    async def index_stored(
        self,
        asset: media_pb2.Asset,
        scope: CallScope,
        moderation: Moderation,
        language: str = "",
    ) -> int:
        """Perceive a stored asset from its bytes and index it; returns the number of documents.

        Raises InvalidInput CONTENT_BLOCKED where the policy keeps it out of the index.
        """
        ledger = Ledger()
        known = canonical_id(asset)

        async def segments() -> AsyncIterator[media_pb2.MediaSegment]:
            async for event in segment_stored(self._stages, scope, known):
                ledger.note_ingest(event)
                ledger.assets[known].asset = asset
                if event.WhichOneof("event") == "segment":
                    yield event.segment

        config = encode_config(ALL_TASKS, language, bulk=True, moderated=moderation.categories)
        async with self._recording(ledger.assets, scope):
            async for event in encode_segments(self._stages, scope, config, segments()):
                ledger.note_encode(event)
                await moderation.media(ledger.of_segment, event)
        return await self._write(ledger.assets[known], scope, anew=True)

    @contextlib.asynccontextmanager
    async def _recording(
        self, entries: Mapping[str, AssetEntry], scope: CallScope
    ) -> AsyncIterator[None]:
        """Keep what moderation finds meanwhile in the entries, also where it stops the work."""
        try:
            yield
        except InvalidInput:
            await self._record(entries.values(), scope, whole=False)
            raise
        await self._record(entries.values(), scope, whole=True)

    async def _record(
        self, entries: Iterable[AssetEntry], scope: CallScope, *, whole: bool
    ) -> None:
        """Keep what moderation found with the assets, for their owner and for later uses; where
        the ``whole`` of one was judged, also how it scores, for rules that are made later."""
        moderation = self._moderation(scope)
        for entry in entries:
            assert entry.asset is not None
            request = ingest_pb2.RecordModerationRequest(
                asset_id=canonical_id(entry.asset),
                findings=moderation.findings(entry.scores.values()),
            )
            if whole and not entry.unjudged:
                request.scores.extend(entry.scores_in(moderation.categories))
            if request.findings or request.scores or entry.asset.moderation_findings:
                await call_unary(self._stages.ingest.RecordModeration, request, scope)

    async def _write(self, entry: AssetEntry, scope: CallScope, *, anew: bool = False) -> int:
        """Send all documents of an asset to search and mark it when they are durable; ``anew``
        in the place of all that is there, unless it was indexed meanwhile.

        It is done to its end, whatever becomes of the caller: a deletion that waits for it must
        not be overtaken. Raises NotFound when the asset was deleted meanwhile.
        """
        writing = asyncio.create_task(self._write_alone(entry, scope, anew=anew))
        assert entry.asset is not None
        self._unfinished[writing] = (scope.tenant_id, canonical_id(entry.asset))
        writing.add_done_callback(self._unfinished.pop)
        writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(writing)

    async def _write_alone(self, entry: AssetEntry, scope: CallScope, *, anew: bool) -> int:
        asset = entry.asset
        assert asset is not None
        known = canonical_id(asset)
        documents = await asyncio.to_thread(list, entry.documents())
        async with self.writing(scope, known):
            if anew:
                current = await get_asset(self._stages, scope, known)
                if current.indexed:
                    return current.document_count
                # What is there may have no successor of the same id: a job that was cut short may
                # have written shorter windows of sound, an earlier version another space.
                await patiently(lambda: delete_documents(self._stages, scope, [known]))
            count = await self._writes.write(known, documents, scope)
            mark = ingest_pb2.MarkIndexedRequest(
                asset_id=known,
                sha256=asset.sha256,
                document_count=count,
                space=documents[0].embedding.space if documents else "",
            )
            try:
                await call_unary(self._stages.ingest.MarkIndexed, mark, scope)
            except NotFound:
                await self._take_back(known, scope)
                raise
        return count

    async def _take_back(self, asset_id: str, scope: CallScope) -> None:
        """The documents just written are of an asset that was deleted: its id may be another's
        by now, whose documents are written anew."""
        await delete_documents(self._stages, scope, [asset_id])
        with contextlib.suppress(NotFound):
            other = await get_asset(self._stages, scope, asset_id)
            unmark = ingest_pb2.UnmarkIndexedRequest(asset_id=asset_id)
            await call_unary(self._stages.ingest.UnmarkIndexed, unmark, scope)
            self.submit(AssetEntry(other.info, other), scope)
