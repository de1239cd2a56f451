"""Five times as many clients as may be answered at once, beside exactly as many.

Each asks one question after the other, and comes again when it was refused and told when to.
The clients run in processes of their own. By gRPC and by HTTP.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.runtime.settings import Settings
from tests.bench.estimates import percentile
from tests.bench.results import Plan, Row
from tests.bench.servers import Server, serving
from tests.bench.workers import Worker, working

LATENCY_TARGET = 1.5
OVERLOAD = 5
OVERLOAD_S = 60.0
CAPACITY_S = 30.0
"""Before the overload, and again after it."""
QUICK_S = 12.0
WARM_UP_S = 5.0
GROWTH_BYTES_MAX = 60_000_000
"""Of the server's memory, from the first quarter of the overload to its end."""
TRANSPORTS = ("grpc", "http")
_PROCESSES = 4
_SAMPLE_S = 1.0


@dataclass
class _Seen:
    """What the clients of one run saw, and the memory of the server meanwhile."""

    clients: int
    first_token_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    unhinted: int = 0
    hung: int = 0
    broken: list[str] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)

    def add(self, log: dict[str, Any]) -> None:
        """What those of one process saw."""
        self.first_token_s += log["first_token_s"]
        self.whole_s += log["whole_s"]
        self.refused_s += log["refused_s"]
        self.reasons.update(log["reasons"])
        self.unhinted += log["unhinted"]
        self.hung += log["hung"]
        self.broken += log["broken"]

    @property
    def growth_bytes(self) -> int:
        """From the first quarter, when all has been touched once, to the end."""
        samples = self.resident_bytes
        return max(samples[-3:]) - max(samples[: 1 + len(samples) // 4])


async def run(plan: Plan) -> list[Row]:
    """For each transport at capacity, overloaded, and at capacity again."""
    quick = plan.repeats < 3
    permitted = Settings().turns_max
    rows: list[Row] = []
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(plan.folder))
        workers = [
            await stack.enter_async_context(working(plan.folder, "askers"))
            for _ in range(_PROCESSES)
        ]
        for transport in TRANSPORTS:
            crowd = _Crowd(server, workers, transport, plan)
            await crowd.ask(permitted, WARM_UP_S)
            before = await crowd.ask(permitted, QUICK_S if quick else CAPACITY_S)
            over = await crowd.ask(OVERLOAD * permitted, QUICK_S if quick else OVERLOAD_S)
            after = await crowd.ask(permitted, QUICK_S if quick else CAPACITY_S)
            rows += _rows(transport, [before, after], over)
    return rows


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Clients of one transport."""

    server: Server
    workers: Sequence[Worker]
    transport: str
    plan: Plan

    async def ask(self, clients: int, seconds: float) -> _Seen:
        """So many clients for so long, and until the last is answered."""
        seen = _Seen(clients)
        watching = asyncio.create_task(self._watch(seen))
        address = self.server.http_url if self.transport == "http" else self.server.address
        logs = await asyncio.gather(
            *(
                worker.ask(
                    transport=self.transport,
                    address=address,
                    clients=clients // len(self.workers),
                    seconds=seconds,
                    seed=time.time_ns() + index,
                )
                for index, worker in enumerate(self.workers)
            )
        )
        watching.cancel()
        for log in logs:
            seen.add(log)
        self.plan.say(
            f"{self.transport}, {clients} clients: {len(seen.whole_s)} answers, p95 of the whole "
            f"{percentile(seen.whole_s or [math.nan], 95):.1f} s, refused "
            f"{dict(seen.reasons)}, {seen.hung} hung, {len(seen.broken)} broken {seen.broken[:1]}"
        )
        return seen

    async def _watch(self, seen: _Seen) -> None:
        while True:
            seen.resident_bytes.append(self.server.resident_bytes())
            await asyncio.sleep(_SAMPLE_S)


def _rows(transport: str, at_capacity: Sequence[_Seen], over: _Seen) -> list[Row]:
    first_s = [value for seen in at_capacity for value in seen.first_token_s]
    whole_s = [value for seen in at_capacity for value in seen.whole_s]
    permitted = at_capacity[0].clients
    title = f"overload by {transport}, {over.clients} clients where {permitted} are permitted"
    answers, refusals = len(over.whole_s), len(over.refused_s)
    wrong = over.unhinted + over.hung + len(over.broken)
    refused_ms = percentile(over.refused_s, 95) * 1000 if over.refused_s else 0.0
    rows = [
        Row(
            name=f"{title}: answers and refusals",
            measured=f"{answers} answers, {refusals} refusals, {wrong} of anything else",
            target="nothing else",
            met=not wrong and answers > 0 and refusals > 0,
            notes=[
                ", ".join(f"{reason} {count}" for reason, count in over.reasons.items()),
                f"{over.unhinted} without a retry hint, {over.hung} hung, {len(over.broken)} "
                f"broken; 95 % of the refusals within {refused_ms:.0f} ms",
            ],
        ),
        Row(
            name=f"{title}: memory",
            measured=f"{over.growth_bytes / 1e6:+.0f} MB",
            target=f"≤ +{GROWTH_BYTES_MAX / 1e6:.0f} MB",
            met=over.growth_bytes <= GROWTH_BYTES_MAX,
            notes=["from the first quarter of the overload to its end"],
            samples={"resident_bytes": over.resident_bytes},
        ),
    ]
    for what, ours, reference in (
        ("time to first token", over.first_token_s, first_s),
        ("whole answer", over.whole_s, whole_s),
    ):
        ratio = percentile(ours, 95) / percentile(reference, 95)
        rows.append(
            Row(
                name=f"{title}: {what} of those that are answered, p95",
                measured=f"{percentile(ours, 95):.2f} s ({ratio:.2f}x)",
                against=f"{percentile(reference, 95):.2f} s with {permitted} clients",
                target=f"≤ {LATENCY_TARGET}x",
                met=ratio <= LATENCY_TARGET,
                samples={"overloaded_s": ours, "at_capacity_s": reference},
            )
        )
    return rows
