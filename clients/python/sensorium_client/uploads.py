"""Storing files without a question: known bytes are skipped, interrupted ones go on."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from sensorium.gateway.v1 import gateway_pb2

from sensorium_client import events
from sensorium_client.assets import as_field, asset_messages
from sensorium_client.duplex import DuplexCall
from sensorium_client.media import MediaFile

UploadCall = DuplexCall[gateway_pb2.StreamingUploadRequest, gateway_pb2.StreamingUploadResponse]
_Request = gateway_pb2.StreamingUploadRequest


@dataclass
class _Delivery:
    """One asset on its way: where to go on from, and whether the server is done with it."""

    opened: asyncio.Future[int] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    def fail(self) -> None:
        """The server does not want it."""
        self.opened.cancel()
        self.settled.set()


class UploadSession:
    """Files with their hash and id, sent over one stream, a few at a time."""

    def __init__(self, call: UploadCall, files: Sequence[MediaFile], assets_at_once: int) -> None:
        self._call = call
        self._files = files
        self._deliveries: dict[str, _Delivery] = {}
        self._places = asyncio.Semaphore(assets_at_once)

    async def run(self) -> AsyncGenerator[events.Event, None]:
        """Send everything and give the events up to ``upload_summary``.

        Raises:
            SensoriumClientError: the stream failed; sending again resumes.
        """
        self._deliveries = {file.asset_id: _Delivery() for file in self._files}
        async with aclosing(self._call.events_while(self._send_all())) as stream:
            async for event in stream:
                self._note(event)
                yield event

    def _note(self, event: events.Event) -> None:
        match event:
            case events.UploadOpened() if delivery := self._deliveries.get(event.asset_id):
                if not delivery.opened.done():
                    delivery.opened.set_result(event.resume_offset)
            case events.AssetStored() if delivery := self._deliveries.get(event.asset.asset_id):
                delivery.settled.set()
            case events.ItemFailed() if delivery := self._deliveries.get(event.item_id):
                delivery.fail()

    async def _send_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for file in self._files:
                    # Taken here, so that later files are not even opened yet.
                    await self._places.acquire()
                    group.create_task(self._send(file))
        except BaseExceptionGroup as error:
            raise error.exceptions[0] from None
        await self._call.done_writing()

    async def _send(self, file: MediaFile) -> None:
        delivery = self._deliveries[file.asset_id]
        try:
            async with aclosing(
                asset_messages(file, file.asset_id, lambda: self._resume_offset(delivery))
            ) as messages:
                async for message in messages:
                    if delivery.settled.is_set():
                        return
                    await self._call.write(_Request(**as_field(message)))
            await delivery.settled.wait()
        except _Refused:
            return
        finally:
            self._places.release()

    @staticmethod
    async def _resume_offset(delivery: _Delivery) -> int:
        await asyncio.wait({delivery.opened})
        if delivery.opened.cancelled():
            raise _Refused
        return delivery.opened.result()


class _Refused(Exception):
    """The server does not want this asset."""
