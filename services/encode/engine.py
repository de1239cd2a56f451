"""A back end at work: items are prepared in threads, batched, run and finished."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Generic, TypeVar

from services.encode.backends.contract import Backend, ModelDescription
from services.runtime.batching import BatchOptions, DynamicBatcher, Meter
from services.runtime.errors import InternalFailure, SensoriumError
from services.runtime.priority import Priority

_log = logging.getLogger(__name__)

RawT = TypeVar("RawT")
ResultT = TypeVar("ResultT")
LoadedT = TypeVar("LoadedT")


class Engine(Generic[RawT, ResultT]):
    """Runs single items through a back end. ``close`` waits for the forward pass under way.

    Without ``threads`` the items are prepared and finished on the event loop,
    for back ends that do next to nothing there.
    """

    def __init__(
        self,
        backend: Backend[RawT, Any, Any, ResultT],
        options: BatchOptions,
        threads: Executor | None = None,
    ) -> None:
        self._backend = backend
        self._threads = threads
        self._batcher: DynamicBatcher[Any, Any] = DynamicBatcher(backend.forward, options)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._backend.description

    @property
    def pending(self) -> int:
        """Items that wait for a batch."""
        return self._batcher.pending

    @property
    def running(self) -> int:
        """Forward passes under way."""
        return self._batcher.running

    async def run(
        self, raw: RawT, *, priority: Priority = Priority.NORMAL, meter: Meter | None = None
    ) -> ResultT:
        """The result for one item.

        Raises:
            SensoriumError: as the back end raised it; ENCODER_FAILED for anything foreign.
        """
        prepared = await self._apart(self._backend.prepare, raw)
        output = await self._batcher.submit(prepared, priority=priority, meter=meter)
        result: ResultT = await self._apart(self._backend.finish, output)
        return result

    async def run_many(
        self,
        raws: Sequence[RawT],
        *,
        priority: Priority = Priority.NORMAL,
        meter: Meter | None = None,
    ) -> list[ResultT]:
        """The results for several items, in order."""
        return await asyncio.gather(
            *(self.run(raw, priority=priority, meter=meter) for raw in raws)
        )

    async def close(self) -> None:
        """Stops."""
        await self._batcher.close()

    async def _apart(self, function: Callable[[Any], Any], argument: Any) -> Any:
        try:
            if self._threads is None:
                return function(argument)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, function, argument)
        except SensoriumError:
            raise
        # A back end's bug may cost its item, never the stream.
        except Exception as error:  # noqa: BLE001
            _log.error("%s failed", self.description.ref, exc_info=error)
            raise InternalFailure(
                "ENCODER_FAILED", "The model could not process this item."
            ) from None


EngineT = TypeVar("EngineT", bound=Engine[Any, Any])


class LazyEngine(Generic[EngineT]):
    """An engine that is loaded when it is first asked for."""

    def __init__(self, load: Callable[[], EngineT]) -> None:
        self._load = load
        self._lock = asyncio.Lock()
        self.loaded: EngineT | None = None

    async def get(self) -> EngineT:
        """The engine. Raises what loading raises, and tries again the next time."""
        async with self._lock:
            if self.loaded is None:
                self.loaded = await asyncio.to_thread(self._load)
            return self.loaded


def timed(ref: str, load: Callable[[], LoadedT]) -> LoadedT:
    """What ``load`` returns; how long it took is logged."""
    started = time.perf_counter()
    loaded = load()
    _log.info("loaded %s in %.2f s", ref, time.perf_counter() - started)
    return loaded
