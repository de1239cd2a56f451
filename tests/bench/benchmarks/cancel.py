"""From kill -9 of the client in mid-stream to idle: decoder, batch slot, language-model slot."""

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from services.runtime.settings import ENV_PREFIX
from tests.bench import materials
from tests.bench.estimates import estimate
from tests.bench.results import Plan, Row
from tests.bench.workers import Worker, working

# A hop that was not seen at work this shortly before the kill was missed.
_MISSED_S = 0.05


@dataclass(frozen=True, slots=True)
class Hop:
    """Where the client is killed. ``observed`` is what must become idle."""

    name: str
    observed: str
    words: str
    suffix: str = ""
    target_s: float | None = None


HOPS = (
    Hop("decoder", "decoder", "decoder, amid a film", ".mp4"),
    Hop("batch", "batch", "batch slot, amid speech", ".ogg"),
    Hop("prefill", "slot", "language-model slot, amid a long prompt", "", 1.0),
    Hop("slot", "slot", "language-model slot, amid an answer", "", 0.1),
)


async def run(plan: Plan) -> list[Row]:
    """Each hop in turn, in a server that can be looked into."""
    data_dir = plan.folder / "data"
    environment = {f"{ENV_PREFIX}PORT": "0", f"{ENV_PREFIX}DATA_DIR": str(data_dir)}
    freed: dict[str, list[float]] = {hop.name: [] for hop in HOPS}
    film = await asyncio.to_thread(materials.film, 1)
    try:
        async with working(plan.folder, "observed_server", environment=environment) as server:
            for index in range(plan.repeats):
                for hop in HOPS:
                    path = _file(plan.folder, hop, index, film)
                    freed_s = await _kill_at(plan.folder, server, hop, path)
                    if freed_s is None:
                        plan.say(f"{hop.name}: was idle already when the client was killed")
                        continue
                    freed[hop.name].append(freed_s)
                    plan.say(f"{hop.name} {index + 1}/{plan.repeats}: {freed_s * 1000:.0f} ms")
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
    return [_row(hop, freed[hop.name]) for hop in HOPS]


def _file(folder: Path, hop: Hop, index: int, film: bytes) -> Path | None:
    if not hop.suffix:
        return None
    path = folder / f"{hop.name}{hop.suffix}"
    path.write_bytes(film if hop.suffix == ".mp4" else materials.recording(1000 + index))
    return path


async def _kill_at(folder: Path, server: Worker, hop: Hop, path: Path | None) -> float | None:
    """Seconds from the kill to idle; None if the hop was idle before it."""
    files = [str(path)] if path else []
    async with working(
        folder, "doomed_client", server.greeting["address"], hop.name, *files
    ) as client:
        await client.answer()
        killed_s = time.monotonic()
        await client.kill()
    last_busy_s = (await server.ask())[hop.observed]
    if last_busy_s < killed_s - _MISSED_S:
        return None
    return max(0.0, float(last_busy_s) - killed_s)


def _row(hop: Hop, freed_s: list[float]) -> Row:
    if not freed_s:
        return Row(f"cancel: {hop.words}", "the hop was never seen at work", met=False)
    result = estimate(freed_s)
    worst_s = max(freed_s)
    notes = []
    if hop.target_s is not None and worst_s > hop.target_s:
        notes.append(
            f"the worst of {len(freed_s)} is {worst_s / hop.target_s:.2f} times the target"
        )
    return Row(
        name=f"cancel: {hop.words}",
        measured=f"idle after {result.median * 1000:.0f} ms "
        f"[{result.low * 1000:.0f}, {result.high * 1000:.0f}]",
        against="kill -9 of the client",
        target=f"≤ {hop.target_s:g} s, each time" if hop.target_s else "",
        met=worst_s <= hop.target_s if hop.target_s else None,
        notes=notes,
        samples={"freed_s": freed_s},
    )
