"""A child program that answers one JSON line with another, so that work runs elsewhere."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.servers import last_words, stop

_LINE_BYTES_MAX = 16 << 20
Answer = Callable[[dict[str, Any]], dict[str, Any]]


class WorkerFailed(Exception):
    """The program ended instead of answering; its last words are in the log."""


class Worker:
    """The parent's end of a child program; made by :func:`working`.

    ``greeting`` is what it said when it was ready.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.greeting: dict[str, Any] = {}

    async def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer. Raises WorkerFailed."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """Wait for the next line. Raises WorkerFailed."""
        assert self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise WorkerFailed(last_words(self._log))
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def kill(self) -> None:
        """End the program at once, with no chance to say goodbye."""
        self._process.kill()
        await self._process.wait()


@contextlib.asynccontextmanager
async def working(
    folder: Path, program: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Worker]:
    """Run ``tests.bench.children.<program>`` until the block ends; yields once it is ready."""
    log_path = folder / f"{program}.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"tests.bench.children.{program}",
            *arguments,
            env={**os.environ, **(environment or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            limit=_LINE_BYTES_MAX,
        )
        worker = Worker(process, log_path)
        try:
            worker.greeting = await worker.answer()
            yield worker
        finally:
            await stop(process)


def answer_lines(make_answer: Callable[[], Answer]) -> None:
    """The child's end: say that it is ready, then answer until standard input ends.

    Native libraries print to descriptor 1, so the answers go to a copy of it
    and what they print goes to standard error.
    """
    with os.fdopen(os.dup(1), "w", buffering=1) as output:
        os.dup2(2, 1)
        answer = make_answer()
        print("{}", file=output, flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), file=output, flush=True)
