"""Embeddings/s of 64 clients through the encode service, the bare engine and LitServe."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench.estimates import paired_ratio
from tests.bench.results import Plan, Row
from tests.bench.servers import serving, stop
from tests.bench.workers import Worker, working
from tests.ports import free_port

ENGINE_TARGET = 0.8
LITSERVE_TARGET = 1.5
CLIENTS = 64
LITSERVE_LOADERS = ("torch", "engine")
TEXTS = CLIENTS * 12
PACKAGES = Path(__file__).parents[3] / "build" / "bench-packages"
REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"
_START_S = 120.0
_POLL_S = 0.2


async def run(plan: Plan) -> list[Row]:
    """All ways in turn; those that are not asked are idle."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(plan.folder, "encode"))
        engine = await stack.enter_async_context(working(plan.folder, "embedder"))
        clients = await stack.enter_async_context(working(plan.folder, "embed_clients"))
        ways: dict[str, Callable[[int], Awaitable[float]]] = {
            "unary": partial(_by_clients, clients, "unary", server.address),
            "stream": partial(_by_clients, clients, "stream", server.address),
            "engine": partial(_by_engine, engine),
        }
        if await _have_litserve(plan):
            for loader in LITSERVE_LOADERS:
                address = await stack.enter_async_context(_litserve(plan.folder, loader))
                ways[f"litserve {loader}"] = partial(_by_clients, clients, "http", address)
        rates: dict[str, list[float]] = {name: [] for name in ways}
        seed = 0
        for index in range(plan.repeats + 1):
            for name, measure in ways.items():
                seed += 1
                rate = await measure(seed)
                if index:  # the first warms up
                    rates[name].append(rate)
            if index:
                plan.say(
                    f"{index}/{plan.repeats}: "
                    + ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in rates.items())
                )
    return _rows(rates)


async def _by_clients(clients: Worker, protocol: str, address: str, seed: int) -> float:
    answer = await clients.ask(
        protocol=protocol, address=address, clients=CLIENTS, count=TEXTS, seed=seed
    )
    return float(answer["count"]) / float(answer["seconds"])


async def _by_engine(engine: Worker, seed: int) -> float:
    answer = await engine.ask(count=TEXTS, seed=seed)
    return TEXTS / float(answer["seconds"])


async def _have_litserve(plan: Plan) -> bool:
    """Install LitServe apart from our own packages, unless it is there."""
    if (PACKAGES / "litserve").is_dir():
        return True
    plan.say(f"installing LitServe into {PACKAGES}")
    install = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pip", "install", "-q", "--no-deps"),
        *("--target", str(PACKAGES), "-r", str(REQUIREMENTS)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await install.wait():
        plan.say("LitServe cannot be installed; it is left out")
        return False
    return True


@contextlib.asynccontextmanager
async def _litserve(folder: Path, loader: str) -> AsyncIterator[str]:
    """LitServe until the block ends; yields its address."""
    port = free_port()
    with (folder / f"litserve-{loader}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.bench.children.litserve_server", str(port), loader),
            env=os.environ | {"PYTHONPATH": str(PACKAGES)},
            stdout=log,
            stderr=log,
            # Its worker processes outlive it unless they are ended as a group.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_START_S):
                await _wait_until_ready(port)
            yield f"127.0.0.1:{port}"
        finally:
            await stop(process)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


async def _wait_until_ready(port: int) -> None:
    # Another program: there is no event to wait for.
    while not await _answers(port):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_S)


async def _answers(port: int) -> bool:
    """Whether LitServe's health check says that its workers are ready."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"GET /health HTTP/1.0\r\n\r\n")
    status = await reader.readline()
    writer.close()
    return b" 200 " in status


def _rows(rates: dict[str, list[float]]) -> list[Row]:
    better = max(("unary", "stream"), key=lambda name: median(rates[name]))
    ours = rates[better]
    note = (
        f"64 clients in one process on the same cores, one new sentence at a time each: "
        f"unary {median(rates['unary']):.0f}/s, a stream for each client "
        f"{median(rates['stream']):.0f}/s; the better one is reported"
    )
    references: list[tuple[str, str, float | None, str]] = [
        ("engine", "the same engine, batches of 64", ENGINE_TARGET, note)
    ]
    if "litserve torch" in rates:
        references += [
            (
                "litserve torch",
                "LitServe, the model in torch",
                LITSERVE_TARGET,
                "LitServe as its users run it: batches of at most 64, the model in torch; its "
                "client is a bare HTTP/1.1 socket, and its vectors travel as JSON",
            ),
            (
                "litserve engine",
                "LitServe, our engine in it",
                None,
                "LitServe around our own back end: what remains is the serving alone, and the "
                "more the engine needs of the CPU, the nearer this is to 1",
            ),
        ]
    rows = []
    for name, words, target, about in references:
        ratio = paired_ratio(ours, rates[name])
        met = None if target is None else ratio.median >= target
        missed = [f"missed by {target - ratio.median:.2g}"] if target and not met else []
        rows.append(
            Row(
                name=f"embeddings/s of {CLIENTS} clients, beside {name}",
                measured=f"{median(ours):.0f} ({better})",
                against=f"{words}: {median(rates[name]):.0f}",
                ratio=ratio,
                target=f"≥ {target}" if target else "",
                met=met,
                notes=[*missed, about],
                samples={f"{way}_per_s": values for way, values in rates.items()},
            )
        )
    return rows
