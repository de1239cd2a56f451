"""How an index job ended, for who waits for it."""

import asyncio

from services.runtime.errors import InternalFailure, SensoriumError


async def outcome(job: "asyncio.Task[int]") -> int:
    """The number of documents of a job, which goes on if its waiter does not. Raises
    SensoriumError."""
    await asyncio.wait({job})
    if job.cancelled():
        raise InternalFailure(
            "INDEXING_STOPPED", "The server stops, or the asset was deleted, before it was indexed."
        )
    error = job.exception()
    if error is None:
        return job.result()
    if isinstance(error, SensoriumError):
        raise error
    raise InternalFailure("INDEXING_FAILED", "The asset is stored but could not be indexed yet.")
