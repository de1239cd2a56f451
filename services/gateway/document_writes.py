"""Documents on their way to search: those of many assets in one call.

A small asset is one or two documents, and a call for each costs more than the
writing. So what comes while a call is under way waits for the next one; a lone
asset waits for nothing.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sensorium.search.v1 import search_pb2

from services.gateway.stages import Stages
from services.runtime import telemetry
from services.runtime.calls import CallScope, exchange
from services.runtime.errors import SensoriumError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

ASSETS_A_CALL = 64
DOCUMENTS_A_CALL = 1024
"""No more assets are added to a call that has so many documents."""
ATTEMPTS_MAX = 5
"""Of the same change, while search says that it can make it later."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    asset_id: str
    documents: Sequence[search_pb2.Document]
    done: "asyncio.Future[int]"


class DocumentWrites:
    """One call at a time for each tenant."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._waiting: dict[str, list[_Waiting]] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}

    async def write(
        self, asset_id: str, documents: Sequence[search_pb2.Document], scope: CallScope
    ) -> int:
        """Index all documents of an asset; how many, once they are durable.

        Raises:
            SensoriumError: search failed; doing it again is harmless.
        """
        tenant = scope.tenant_id
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, []).append(_Waiting(asset_id, documents, done))
        if tenant not in self._senders:
            self._senders[tenant] = asyncio.create_task(self._send_all(tenant))
        return await done

    async def close(self) -> None:
        """Stop. What waits is not written."""
        senders = list(self._senders.values())
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    async def _send_all(self, tenant: str) -> None:
        try:
            while waiting := self._waiting.get(tenant):
                together = _first_of(waiting)
                self._waiting[tenant] = waiting[len(together) :]
                await self._send(together, CallScope(tenant))
        finally:
            for left in self._waiting.pop(tenant, ()):
                left.done.cancel()
            del self._senders[tenant]

    async def _send(self, together: Sequence[_Waiting], scope: CallScope) -> None:
        try:
            with telemetry.span("gateway.write_documents", asset_count=len(together)):
                counts = await patiently(lambda: self._index(together, scope))
        except SensoriumError as error:
            for each in together:
                if not each.done.done():
                    each.done.set_exception(error)
        else:
            for each in together:
                if not each.done.done():
                    each.done.set_result(counts[each.asset_id])
        finally:
            for each in together:
                # Only where this was cancelled.
                each.done.cancel()

    async def _index(self, together: Sequence[_Waiting], scope: CallScope) -> Counter[str]:
        """How many documents of each asset are durable."""

        async def requests() -> AsyncIterator[search_pb2.StreamingIndexRequest]:
            yield search_pb2.StreamingIndexRequest(config=search_pb2.IndexConfig())
            for each in together:
                for document in each.documents:
                    yield search_pb2.StreamingIndexRequest(document=document)

        counts: Counter[str] = Counter()
        async for event in exchange(self._stages.search.StreamingIndex, scope, requests()):
            kind = event.WhichOneof("event")
            if kind == "ack":
                counts.update(name.split("/", 1)[0] for name in event.ack.document_ids)
            elif kind == "item_error":
                log.error("search refused a document: %s", event.item_error.error.reason)
        return counts


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """What a change of the index returns; tried again where search asks for it, as when another
    of its processes takes over the writing. Raises SensoriumError."""
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            return await attempt()
        except Unavailable as error:
            if error.retry_after_s is None:
                raise
            log.warning("the index is changed again in %g s: %s", error.retry_after_s, error)
            await asyncio.sleep(error.retry_after_s)
    return await attempt()


def _first_of(waiting: Sequence[_Waiting]) -> list[_Waiting]:
    together: list[_Waiting] = []
    document_count = 0
    for each in waiting[:ASSETS_A_CALL]:
        if together and document_count + len(each.documents) > DOCUMENTS_A_CALL:
            break
        together.append(each)
        document_count += len(each.documents)
    return together
