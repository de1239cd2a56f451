"""Many tagged searches on one stream, answered as they are ready."""

import asyncio
from collections.abc import AsyncIterator

from sensorium.gateway.v1 import gateway_pb2

from services.gateway.fields import SEARCH_FIELDS, named
from services.gateway.policy import Policy
from services.gateway.search import search
from services.gateway.stages import Stages
from services.runtime import telemetry
from services.runtime.calls import CallScope
from services.runtime.errors import SensoriumError
from services.runtime.status import item_error
from services.runtime.streams import Emit

SEARCHES_AT_ONCE = 4

SearchEvent = gateway_pb2.StreamingSearchResponse
SearchMessage = gateway_pb2.StreamingSearchRequest


async def answer_searches(
    stages: Stages,
    scope: CallScope,
    policy: Policy,
    messages: AsyncIterator[SearchMessage],
    emit: Emit[SearchEvent],
) -> None:
    """Read to the client's half-close, answer every search, and end with the summary."""
    ready = gateway_pb2.SearchReady(
        effective_config=gateway_pb2.SearchConfig(), trace_id=telemetry.current_trace_id()
    )
    await emit(SearchEvent(ready=ready))
    free = asyncio.Semaphore(SEARCHES_AT_ONCE)
    summary = gateway_pb2.SearchSummary()

    async def answer(tagged: gateway_pb2.TaggedSearch) -> None:
        try:
            with named(SEARCH_FIELDS):
                await scope.account.begin()
                response = await search(stages, scope, tagged.request, policy)
        except SensoriumError as error:
            await emit(SearchEvent(item_error=item_error(tagged.query_id, error)))
        else:
            summary.query_count += 1
            result = gateway_pb2.TaggedResult(query_id=tagged.query_id, response=response)
            await emit(SearchEvent(result=result))
        finally:
            free.release()

    async with asyncio.TaskGroup() as group:
        async for message in messages:
            # Read no further than what is worked on: the client waits, not our memory.
            await free.acquire()
            group.create_task(answer(message.search))
    await emit(SearchEvent(summary=summary))
