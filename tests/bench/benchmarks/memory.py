"""Most memory that the warm server takes while a film of 300 MB is streamed through it."""

import asyncio
from pathlib import Path

from sensorium_client import Client
from sensorium_client.media import MediaFile

from tests.bench import materials
from tests.bench.asking import ask_timed
from tests.bench.benchmarks.ttft import OPTIONS, VIDEO
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

LIMIT_BYTES = 300_000_000
FILM_BYTES = 300_000_000
_RUNS_MAX = 3


async def run(plan: Plan) -> list[Row]:
    """Warm up with an ordinary film, note what is held, stream the large one."""
    large = plan.folder / "large.mp4"
    plan.say("making a film of 300 MB")
    await asyncio.to_thread(materials.large_film, large, FILM_BYTES)
    small = plan.folder / "small.mp4"
    small.write_bytes(await asyncio.to_thread(materials.film, 1))
    warm: list[float] = []
    above: list[float] = []
    try:
        async with serving(plan.folder) as server, Client(server.address) as client:
            await _ask(client, small)
            for index in range(plan.at_most(_RUNS_MAX)):
                _stamp(large, index)
                server.forget_peak()
                warm.append(server.resident_bytes())
                await _ask(client, large)
                above.append(server.peak_resident_bytes() - warm[-1])
                plan.say(f"{warm[-1] / 1e6:.0f} MB warm, {above[-1] / 1e6:+.0f} MB at most")
    finally:
        large.unlink()
        small.unlink()
    most = max(above)
    return [
        Row(
            name="memory: 300 MB film streamed through the warm server",
            measured=f"{most / 1e6:+.0f} MB at most",
            against=f"warm level of {warm[0] / 1e6:.0f} MB",
            target=f"≤ +{LIMIT_BYTES / 1e6:.0f} MB",
            met=most <= LIMIT_BYTES,
            notes=[
                "resident memory as the kernel reports it (VmHWM, its peak reset when warm); "
                f"{len(above)} films one after the other: "
                + ", ".join(f"{value / 1e6:+.0f} MB" for value in above)
            ],
            samples={"warm_bytes": warm, "above_warm_bytes": above},
        )
    ]


async def _ask(client: Client, path: Path) -> None:
    await ask_timed(client, VIDEO.question(0), [MediaFile(path)], options=OPTIONS)


def _stamp(path: Path, index: int) -> None:
    """Other bytes at the end of the file, which no decoder looks at: a box that is free."""
    with path.open("ab") as file:
        file.write((12).to_bytes(4, "big") + b"free" + index.to_bytes(4, "big"))
