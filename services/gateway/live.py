"""The media of a turn while it is perceived: every event to the ledger, the context, the client."""

import asyncio

from sensorium.fuse.v1 import fuse_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2, upload_pb2

from services.gateway.context import Context
from services.gateway.events import PerceptionEvents, TurnEvents
from services.gateway.ledger import AssetEntry, Ledger, alone
from services.gateway.moderation import Moderation
from services.gateway.page import is_writing
from services.gateway.perception import (
    READING_TASKS,
    EncodeEvent,
    IngestEvent,
    Perception,
    each,
    encode_config,
    encode_segments,
)
from services.gateway.question import needs_writing
from services.gateway.stages import Stages
from services.gateway.timings import TurnClock
from services.runtime.calls import CallScope
from services.runtime.errors import OutOfOrder
from services.runtime.status import from_item_error


class LiveMedia:
    """Runs ingest and encode for the media of a turn."""

    def __init__(
        self,
        perception: Perception,
        context: Context,
        ledger: Ledger,
        events: TurnEvents,
        clock: TurnClock,
        moderation: Moderation,
    ) -> None:
        self.context = context
        self.ledger = ledger
        self.cache_hit_count = 0
        self._perception = perception
        self._events = events
        self._shown = PerceptionEvents(ledger, hold_words=moderation.holds_words)
        self._clock = clock
        self._moderation = moderation
        self._announced: set[str] = set()
        self._finished: set[str] = set()
        self._pages_begun: set[str] = set()
        self._told_complete: set[str] = set()
        self._told_encoded: set[str] = set()
        self._more = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to perceive, in a task of the group."""
        run = self._perception.run(self._on_ingest, self._on_encode, self.ledger.due)
        self._running = group.create_task(run)

    async def send(self, message: gateway_pb2.StreamingConverseRequest) -> None:
        """Forward a chunk or a mark of the client."""
        kind = message.WhichOneof("message")
        if kind == "asset_start":
            self._announced.add(message.asset_start.asset_id)
            self.ledger.announce(message.asset_start)
            request = ingest_pb2.StreamingIngestRequest(asset_start=message.asset_start)
        elif kind == "asset_finish":
            self._finished.add(message.asset_finish.asset_id)
            request = ingest_pb2.StreamingIngestRequest(asset_finish=message.asset_finish)
        else:
            request = ingest_pb2.StreamingIngestRequest(chunk=message.chunk)
        await self._perception.send(request)

    async def done_sending(self) -> None:
        """No more media. Raises OutOfOrder ASSET_UNFINISHED."""
        if unfinished := self._announced - self._finished:
            raise OutOfOrder(
                "ASSET_UNFINISHED",
                "end_turn came before asset_finish of an asset.",
                subject=min(unfinished),
            )
        await self._perception.done_sending()

    async def until_answerable(self) -> None:
        """Wait until all that the answer needs is known; tiles and the commit may still come."""
        while not all(map(self._answerable, self._announced)):
            self._more.clear()
            await self._more.wait()

    def _answerable(self, asset_id: str) -> bool:
        if not self.ledger.answerable(asset_id):
            return False
        # Not only known here: fuse was told, and what comes after its finish is refused.
        encoded = self.ledger.assets[asset_id].encoded
        return asset_id in self._told_complete and encoded <= self._told_encoded

    async def until_complete(self) -> None:
        """Wait until every asset is committed and every segment encoded that is not deferred."""
        assert self._running is not None
        await self._running

    async def _on_ingest(self, event: IngestEvent) -> None:
        self._clock.stage("ingest")
        kind = event.WhichOneof("event")
        if kind == "item_error":
            raise from_item_error(event.item_error)
        self.ledger.note_ingest(event)
        if kind == "asset_info":
            await self.context.asset_info(event.asset_info)
        elif kind == "segment" and not self.ledger.defers(event.segment):
            await self.context.segment(event.segment)
        elif kind == "segments_complete":
            entry = self.ledger.assets[event.segments_complete.asset_id]
            if entry.info.modality != media_pb2.MODALITY_IMAGE:
                await self._complete(entry)
            else:
                await self._send_page(entry)
        await self._show(event)
        self._more.set()

    async def _on_encode(self, event: EncodeEvent) -> None:
        self._clock.stage("encode")
        self.ledger.note_encode(event)
        await self._moderation.media(self.ledger.of_segment, event)
        kind = event.WhichOneof("event")
        if kind == "embedding":
            await self.context.vector(event.embedding.segment_id, event.embedding.embedding)
        elif kind == "observation":
            info = self.ledger.of_segment(event.observation.segment_id).info
            if not (self._is_page(info) and is_writing(event.observation)):
                await self.context.observation(event.observation)
        elif kind == "segment_complete":
            await self._segment_encoded(event.segment_complete.segment_id)
        elif kind == "summary":
            self.cache_hit_count += event.summary.cache_hit_count
        await self._show(event)
        self._more.set()

    async def _show(self, event: IngestEvent | EncodeEvent) -> None:
        for fields in self._shown.of(event):
            await self._events.send(**fields)

    async def _segment_encoded(self, segment_id: str) -> None:
        self._clock.segment_encoded()
        await self.context.segment_encoded(segment_id)
        self._told_encoded.add(segment_id)
        entry = self.ledger.of_segment(segment_id)
        if self.ledger.answers_by_view(entry.info):
            await self._complete(entry)
        else:
            await self._send_page(entry)

    def _is_page(self, info: media_pb2.AssetInfo) -> bool:
        """Whether writing is read in an asset's view and tiles, to be told when all is read:
        until then any line may turn out to be a part of another."""
        return info.modality == media_pb2.MODALITY_IMAGE and not self.ledger.answers_by_view(info)

    async def _send_page(self, entry: AssetEntry) -> None:
        """Send the lines of a picture, and that it is over, once all of it is read."""
        asset_id = entry.info.asset_id
        if not (self._is_page(entry.info) and entry.fully_encoded) or asset_id in self._pages_begun:
            return
        self._pages_begun.add(asset_id)
        lines = await asyncio.to_thread(entry.writing)
        await self.context.recalled(map(entry.recall, lines))
        await self._complete(entry)
        self._more.set()

    async def _complete(self, entry: AssetEntry) -> None:
        asset_id = entry.info.asset_id
        await self.context.segments_complete(upload_pb2.SegmentsComplete(asset_id=asset_id))
        self._told_complete.add(asset_id)

    async def judge_tiles(self, stages: Stages, scope: CallScope) -> None:
        """Where the policy blocks pictures, judge what the answer does without: the tiles, which
        show what their view is too small for. Raises as ``Moderation.media``."""
        if not self._moderation.blocks_pictures:
            return
        pictures = [
            entry
            for entry in self.ledger.assets.values()
            if entry.info.modality == media_pb2.MODALITY_IMAGE
        ]
        while not all(entry.complete for entry in pictures):
            self._more.clear()
            await self._more.wait()
        tiles = [tile for entry in pictures for tile in entry.deferred.values()]
        if tiles:
            config = encode_config((), moderated=self._moderation.categories)
            async for event in encode_segments(stages, scope, config, each(tiles)):
                self._clock.stage("encode")
                await self._moderation.media(self.ledger.of_segment, event)

    async def read_late(
        self, stages: Stages, scope: CallScope, question: str
    ) -> list[fuse_pb2.RecalledEvidence]:
        """OCR of pictures not read yet: where the question, known late, asks for
        writing, or the client for all detail, and where nothing else was recognised in a
        picture."""
        asked = needs_writing(question)
        closely = {
            asset_id
            for asset_id, entry in self.ledger.assets.items()
            if entry.info.modality == media_pb2.MODALITY_IMAGE
            and self.ledger.looks_closely(asset_id, asked=asked)
        }
        config = encode_config(READING_TASKS, moderated=self._moderation.categories)
        if asked or closely:
            await self.until_complete()
        evidence: list[fuse_pb2.RecalledEvidence] = []
        for asset_id, entry in self.ledger.assets.items():
            unnamed = entry.info.modality == media_pb2.MODALITY_IMAGE and not entry.observations
            if not (asked or unnamed or asset_id in closely):
                continue
            if asset_id in closely:
                pictures = [*entry.unread.values(), *entry.deferred.values()]
            else:
                pictures = list(map(alone, entry.unread.values()))
            if not pictures:
                continue
            async for event in encode_segments(stages, scope, config, each(pictures)):
                self._clock.stage("encode")
                await self._moderation.media(self.ledger.of_segment, event)
                entry.note_reading(event)
            evidence += map(entry.recall, await asyncio.to_thread(entry.writing))
        return evidence
