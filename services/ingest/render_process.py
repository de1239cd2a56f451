"""A process of its own, of the lowest priority, for the renditions.

A thread of low priority did not do: answers came at 32 tokens a second instead of 50, probably
because such a thread holds Python's lock and is not let run. And what a decoder does to its
process, on bytes that somebody made for that, is not done to the server.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

from services.ingest.render_job import RenderJob, RenderOutcome
from services.runtime.errors import InternalFailure

NICENESS = 19
_CODE = Path(__file__).resolve().parent.parent.parent
_LINE_BYTES_MAX = 1 << 20
_ATTEMPTS = 2
"""It may have died of something else, and before this job."""
JOB_S_MAX = 3600.0
"""Far more than the longest video takes: a job that hangs must not end all those after it."""


class RenderProcess:
    """Runs one job at a time; started by the first, and again after ``stop``."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def run(self, job: RenderJob) -> RenderOutcome:
        """Do a job; a cancellation ends the process.

        Raises:
            InternalFailure: ``RENDERER_DIED``, ``RENDERER_STUCK``.
        """
        try:
            async with asyncio.timeout(JOB_S_MAX):
                for _ in range(_ATTEMPTS):
                    line = await self._ask(job)
                    if line.endswith(b"\n"):
                        return RenderOutcome.from_json(line)
        except TimeoutError:
            raise InternalFailure("RENDERER_STUCK", "A rendition took too long.") from None
        raise InternalFailure("RENDERER_DIED", "The process that makes renditions has died.")

    async def _ask(self, job: RenderJob) -> bytes:
        """The line that the process answers; not all of it where it dies."""
        process = self._process = self._process or await _start()
        assert process.stdin
        assert process.stdout
        line = b""
        try:
            with contextlib.suppress(ConnectionError):
                process.stdin.write(job.to_json().encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
        finally:
            if not line.endswith(b"\n"):
                await self.stop()
        return line

    async def stop(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _start() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ingest.render_child",
        str(NICENESS),
        cwd=_CODE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES_MAX,
        # An interrupt of the terminal is the server's to handle. Not a session of its own: Linux
        # shares out the processor among sessions first, and niceness counts within one only.
        process_group=0,
    )
