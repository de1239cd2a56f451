"""Clients in one process that ask one question after another, and come again when refused."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
from sensorium_client import Client
from sensorium_client.errors import SensoriumClientError
from sensorium_client.events import Token, TurnComplete
from sensorium_client.options import AskOptions

from services.runtime.settings import Settings
from tests.bench.workers import Answer, answer_lines

DEADLINE_S = 60.0
"""A request that takes longer hangs."""
SPREAD = 0.25
"""Clients come again when they are told to, and up to this share later, not all at once."""
MAX_TOKENS = 16
SUBJECTS = ("rivers", "bridges", "winter", "bread", "clocks", "harbours", "music", "paper")


class Refused(Exception):
    """The server would not, and said why and when to come again."""

    def __init__(self, reason: str, retry_after_s: float | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


Tokens = Callable[[str], AsyncIterator[None]]
"""Asks, and yields for each token. Raises Refused; ends without error only after a whole answer."""


@contextlib.asynccontextmanager
async def _grpc(address: str) -> AsyncIterator[Tokens]:
    async with Client(address) as client:

        async def ask(question: str) -> AsyncIterator[None]:
            complete = False
            try:
                async for event in client.ask(question, options=AskOptions(max_tokens=MAX_TOKENS)):
                    if isinstance(event, Token):
                        yield
                    complete = complete or isinstance(event, TurnComplete)
            except SensoriumClientError as error:
                raise Refused(error.reason, error.retry_after_s) from None
            if not complete:
                raise Refused("CUT_OFF", None)

        yield ask


@contextlib.asynccontextmanager
async def _http(address: str) -> AsyncIterator[Tokens]:
    async with httpx2.AsyncClient(base_url=address, timeout=None, verify=False) as client:

        async def ask(question: str) -> AsyncIterator[None]:
            body = {
                "model": Settings().language_model,
                "messages": [{"role": "user", "content": question}],
                "max_tokens": MAX_TOKENS,
                "stream": True,
            }
            async with client.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.status_code != 200:
                    await response.aread()
                    wait = response.headers.get("retry-after")
                    reason = response.json()["error"]["code"]
                    raise Refused(reason, float(wait) if wait else None)
                last = ""
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        last = line
                        if '"content":"' in line:
                            yield
            if last != "data: [DONE]":
                raise Refused("CUT_OFF", None)

        yield ask


OPEN = {"grpc": _grpc, "http": _http}


class _Log:
    """What became of the requests."""

    def __init__(self) -> None:
        self.first_token_s: list[float] = []
        self.whole_s: list[float] = []
        self.refused_s: list[float] = []
        self.reasons: dict[str, int] = {}
        self.unhinted = 0
        """Refusals that do not say when to come again."""
        self.hung = 0
        self.broken: list[str] = []

    def as_json(self) -> dict[str, Any]:
        return vars(self)


async def _run(request: dict[str, Any]) -> dict[str, Any]:
    log = _Log()
    until_s = time.monotonic() + request["seconds"]
    seed = random.Random(request["seed"])
    async with asyncio.TaskGroup() as group:
        for _ in range(request["clients"]):
            open_client = OPEN[request["transport"]](request["address"])
            group.create_task(_come_again(open_client, log, until_s, random.Random(seed.random())))
    return log.as_json()


async def _come_again(
    open_client: contextlib.AbstractAsyncContextManager[Tokens],
    log: _Log,
    until_s: float,
    chance: random.Random,
) -> None:
    async with open_client as ask:
        while time.monotonic() < until_s:
            # Never the same twice: nothing is to be answered from a cache.
            subject = f"{chance.choice(SUBJECTS)}, case {chance.randrange(10**9)}"
            wait_s = await _ask_once(ask, f"Tell me something about {subject}.", log)
            if wait_s:
                await asyncio.sleep(wait_s * (1 + SPREAD * chance.random()))


async def _ask_once(ask: Tokens, question: str, log: _Log) -> float:
    """Ask, note what became of it, and return how long to wait before the next."""
    started_s = time.monotonic()
    first_s: float | None = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            async for _ in ask(question):
                first_s = first_s or time.monotonic() - started_s
    except Refused as refused:
        log.refused_s.append(time.monotonic() - started_s)
        log.reasons[refused.reason] = log.reasons.get(refused.reason, 0) + 1
        log.unhinted += not refused.retry_after_s
        return refused.retry_after_s or 1.0
    except TimeoutError:
        log.hung += 1
        return 0.0
    except Exception as error:  # noqa: BLE001 - that there is none is what is looked for
        log.broken.append(f"{type(error).__name__}: {error}")
        return 1.0
    if first_s is None:
        log.broken.append("an answer without a token")
        return 0.0
    log.first_token_s.append(first_s)
    log.whole_s.append(time.monotonic() - started_s)
    return 0.0


def main() -> Answer:
    """Ready at once: connections are made for each request."""
    return lambda request: asyncio.run(_run(request))


if __name__ == "__main__":
    answer_lines(main)
