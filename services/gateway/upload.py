"""Uploads without a question: store, perceive all there is, index."""

import asyncio
from collections.abc import AsyncIterator

from sensorium.gateway.v1 import gateway_pb2
from sensorium.ingest.v1 import ingest_pb2

from services.gateway.events import PerceptionEvents
from services.gateway.index_outcome import outcome
from services.gateway.ledger import AssetEntry, Ledger
from services.gateway.moderation import Moderation
from services.gateway.perception import (
    ALL_TASKS,
    EncodeEvent,
    IngestEvent,
    Perception,
    encode_config,
    ingest_config,
    open_perception,
)
from services.gateway.pipeline import Walk
from services.runtime import telemetry
from services.runtime.calls import CallScope
from services.runtime.errors import SensoriumError
from services.runtime.status import item_error
from services.runtime.streams import Emit

UploadEvent = gateway_pb2.StreamingUploadResponse
UploadMessage = gateway_pb2.StreamingUploadRequest


class Upload:
    """One ``StreamingUpload`` from its config to its summary.

    ``words_awaited`` has the first words of a recording told soon rather than more of them right.
    """

    def __init__(
        self,
        walk: Walk,
        scope: CallScope,
        config: gateway_pb2.UploadConfig,
        emit: Emit[UploadEvent],
        *,
        words_awaited: bool = False,
    ) -> None:
        self._walk = walk
        self._scope = scope
        self._config = config
        self._emit = emit
        self._words_awaited = words_awaited
        self._ledger = Ledger(reading=True)
        policy = walk.policies.of(scope.tenant_id)
        self._moderation = Moderation(walk.stages, scope, policy, self._tell)
        self._shown = PerceptionEvents(self._ledger, hold_words=self._moderation.holds_words)
        self._summary = gateway_pb2.UploadSummary()
        self._submitted: set[str] = set()

    async def run(self, messages: AsyncIterator[UploadMessage]) -> None:
        """Read to the client's half-close, index every asset, and end with the summary."""
        ready = gateway_pb2.UploadReady(
            effective_config=self._config, trace_id=telemetry.current_trace_id()
        )
        await self._emit(UploadEvent(ready=ready))
        options = self._config.perception
        perception = open_perception(
            self._walk.stages,
            self._scope,
            ingest_config(
                options,
                self._scope,
                words_held=self._moderation.holds_words,
                words_awaited=self._words_awaited,
            ),
            encode_config(
                ALL_TASKS,
                options.language,
                word_times=options.word_times,
                bulk=True,
                moderated=self._moderation.categories,
            ),
        )
        try:
            async with perception as opened, asyncio.TaskGroup() as group:
                group.create_task(self._forward(messages, opened))
                await opened.run(
                    lambda event: self._on_ingest(event, group),
                    lambda event: self._on_encode(event, group),
                    self._ledger.due,
                )
        finally:
            # What is committed gets indexed, even when the client is gone.
            for entry in self._ledger.assets.values():
                if entry.asset and entry.info.asset_id not in self._submitted:
                    self._submit(entry)
        self._summary.asset_count = sum(entry.indexable for entry in self._ledger.assets.values())
        await self._emit(UploadEvent(summary=self._summary))

    async def _forward(
        self, messages: AsyncIterator[UploadMessage], perception: Perception
    ) -> None:
        async for message in messages:
            kind = message.WhichOneof("message")
            await perception.send(
                ingest_pb2.StreamingIngestRequest(**{kind: getattr(message, kind)})  # type: ignore[arg-type]
            )
        await perception.done_sending()

    async def _on_ingest(self, event: IngestEvent, group: asyncio.TaskGroup) -> None:
        self._ledger.note_ingest(event)
        kind = event.WhichOneof("event")
        if kind == "asset":
            self._summary.received_bytes += event.asset.size_bytes
        await self._show(event)
        if kind in ("asset", "segments_complete"):
            self._index_if_known(getattr(event, kind).asset_id, group)

    async def _on_encode(self, event: EncodeEvent, group: asyncio.TaskGroup) -> None:
        entry = self._ledger.note_encode(event)
        try:
            await self._moderation.media(self._ledger.of_segment, event)
        except SensoriumError as error:
            # The other assets go on.
            await self._emit(UploadEvent(item_error=item_error(error.subject, error)))
        await self._show(event)
        if entry and event.WhichOneof("event") == "segment_complete":
            self._index_if_known(entry.info.asset_id, group)

    async def _tell(self, found: gateway_pb2.Moderation) -> None:
        await self._emit(UploadEvent(moderation=found))

    async def _show(self, event: IngestEvent | EncodeEvent) -> None:
        for fields in self._shown.of(event):
            await self._emit(UploadEvent(**fields))  # type: ignore[arg-type]

    def _index_if_known(self, asset_id: str, group: asyncio.TaskGroup) -> None:
        """Index an asset as soon as it is both committed and fully perceived, or blocked."""
        entry = self._ledger.assets[asset_id]
        if entry.asset is None or asset_id in self._submitted:
            return
        if entry.blocked:
            # The client knows; the job keeps it with the asset.
            self._submit(entry)
        elif entry.fully_encoded:
            group.create_task(self._tell_indexed(asset_id, self._submit(entry)))

    def _submit(self, entry: AssetEntry) -> "asyncio.Task[int]":
        self._submitted.add(entry.info.asset_id)
        return self._walk.indexer.submit(entry, self._scope, self._config.perception.language)

    async def _tell_indexed(self, asset_id: str, job: "asyncio.Task[int]") -> None:
        try:
            count = await outcome(job)
        except SensoriumError as error:
            await self._emit(UploadEvent(item_error=item_error(asset_id, error)))
        else:
            indexed = gateway_pb2.AssetIndexed(asset_id=asset_id, document_count=count)
            await self._emit(UploadEvent(asset_indexed=indexed))
