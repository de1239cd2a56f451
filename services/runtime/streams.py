"""Building blocks of streams: config first, duplex handlers, worker threads."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

from google.protobuf.message import Message

from services.runtime.errors import InvalidInput, SensoriumError

T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=Message)

Emit = Callable[[T], Awaitable[None]]
_END = object()


async def open_stream(
    requests: AsyncIterator[RequestT],
) -> tuple[Any, AsyncIterator[RequestT]]:
    """Take the config off the front of a stream.

    Returns the config message and an iterator over the messages after it, each
    with its ``message`` oneof set.

    Raises:
        InvalidInput: ``CONFIG_EXPECTED``, here; ``CONFIG_REPEATED`` or
            ``EMPTY_MESSAGE``, from the iterator.
    """
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("message") != "config":
        raise InvalidInput(
            "CONFIG_EXPECTED", "The first message of the stream must be config.", subject="config"
        )

    async def rest() -> AsyncIterator[RequestT]:
        async for request in requests:
            kind = request.WhichOneof("message")
            if kind is None:
                raise InvalidInput(
                    "EMPTY_MESSAGE", "A message of the stream has nothing set.", subject="message"
                )
            if kind == "config":
                raise InvalidInput(
                    "CONFIG_REPEATED",
                    "config may be sent only once, as the first message.",
                    subject="config",
                )
            yield request

    return first.config, rest()  # type: ignore[attr-defined]


def first_error(error: BaseException) -> BaseException:
    """The error that matters in a group: the first of ours, else the first of all."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [first_error(inner) for inner in error.exceptions]
    ours = [leaf for leaf in leaves if isinstance(leaf, SensoriumError)]
    return (ours or leaves)[0]


async def items_until_done(
    items: "asyncio.Queue[T]", worker: "asyncio.Future[Any]"
) -> AsyncGenerator[T, None]:
    """What a worker puts into a queue, until it has ended and all is read.

    How it ended is for the caller to see: its error is not raised here.
    """
    queue: asyncio.Queue[Any] = items

    def wake(_: object) -> None:
        # Whoever waits, waits at an empty queue. A task that waited for both would cost
        # each item, such as each token, more than the item's own way does.
        if queue.empty():
            queue.put_nowait(_END)

    worker.add_done_callback(wake)
    try:
        while not (worker.done() and queue.empty()):
            item = await queue.get()
            if item is _END:
                return
            yield item
    finally:
        worker.remove_done_callback(wake)


async def duplex(
    body: Callable[[Emit[T]], Awaitable[None]], capacity: int = 16
) -> AsyncGenerator[T, None]:
    """Run ``body(emit)`` in a task of its own and yield what it emits.

    The body may use task groups, which a generator must not. At most
    ``capacity`` events wait; then ``emit`` waits. When the generator is closed
    the body is cancelled and awaited. An error of the body is raised after the
    events that it emitted before; of an exception group, the error that matters.
    """
    queue: asyncio.Queue[T] = asyncio.Queue(capacity)
    task = asyncio.ensure_future(body(queue.put))
    try:
        async with contextlib.aclosing(items_until_done(queue, task)) as events:
            async for event in events:
                yield event
        try:
            await task
        except BaseExceptionGroup as group:
            raise first_error(group) from None
    finally:
        task.cancel()
        # One that failed while nobody listened any more has been asked how it ended.
        await asyncio.gather(task, return_exceptions=True)


async def iterate_in_thread(
    make_iterator: Callable[[], Iterator[T]],
    cancel: threading.Event,
    executor: Executor | None = None,
    capacity: int = 4,
) -> AsyncGenerator[T, None]:
    """Run a blocking iterator in a worker thread, at most ``capacity`` items ahead.

    ``cancel`` is set when the generator is closed; the iterator should look at
    it between pieces of work. The thread is awaited before this returns, so
    nothing it uses is freed under it.
    """
    loop = asyncio.get_running_loop()
    slots = threading.Semaphore(capacity)
    items: asyncio.Queue[T] = asyncio.Queue()

    def work() -> None:
        for item in make_iterator():
            while not slots.acquire(timeout=0.1):
                if cancel.is_set():
                    return
            if cancel.is_set():
                return
            loop.call_soon_threadsafe(items.put_nowait, item)

    thread = (executor or ThreadPoolExecutor(1)).submit(work)
    worker: asyncio.Future[Any] = asyncio.wrap_future(thread)
    try:
        async with contextlib.aclosing(items_until_done(items, worker)) as made:
            async for item in made:
                slots.release()
                yield item
        await worker
    finally:
        cancel.set()
        # One that still waits for a thread is taken back; one that runs is waited for.
        if not thread.cancel() and not worker.done():
            await asyncio.wait({worker})
