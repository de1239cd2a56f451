"""A picture by its caption: stored and searched through the platform, as a user would."""

from collections.abc import Sequence
from statistics import mean

from sensorium_client import Client
from sensorium_client.media import MediaFile, file_sha256

from tests.bench.results import Plan, Row
from tests.bench.servers import serving
from tests.bench.stamps import Stamp, development_half

TOP_K = 100
# The aims, and what the plain recipe reaches that MODELS.md of the project began with.
AIMS = {"R@1": 0.45, "R@10": 0.70}
PLAIN = {"R@1": 0.30, "R@5": 0.41, "R@10": 0.49, "MRR": 0.37}


async def run(plan: Plan) -> list[Row]:
    """Once: there is nothing random in it."""
    stamps = list(development_half())
    if not stamps:
        plan.say("left out: install Debian's tuxpaint-stamps-default")
        return []
    async with serving(plan.folder) as server, Client(server.address) as client:
        await _store(client, stamps)
        plan.say(f"{len(stamps)} pictures are stored; searching for each by its caption")
        ranks = [await _rank(client, stamp) for stamp in stamps]
    return _rows(ranks)


async def _store(client: Client, stamps: Sequence[Stamp]) -> None:
    # Their own names would tell what they show.
    files = [MediaFile(stamp.path, name=f"{index}.png") for index, stamp in enumerate(stamps)]
    async for _ in client.upload(files):
        pass


async def _rank(client: Client, stamp: Stamp) -> int | None:
    """Place of the caption's picture among the assets found, from 0."""
    results = await client.search(text=stamp.caption, modalities=["image"], top_k=TOP_K)
    found = [result.asset.sha256 for result in results]
    wanted = await file_sha256(stamp.path)
    return found.index(wanted) if wanted in found else None


def scores(ranks: Sequence[int | None]) -> dict[str, float]:
    """Recall at 1, 5 and 10, and the mean reciprocal rank; None counts as never found."""
    found = {f"R@{k}": mean(rank is not None and rank < k for rank in ranks) for k in (1, 5, 10)}
    found["MRR"] = mean(0.0 if rank is None else 1 / (rank + 1) for rank in ranks)
    return found


def _rows(ranks: Sequence[int | None]) -> list[Row]:
    rows = []
    for name, value in scores(ranks).items():
        aim = AIMS.get(name)
        rows.append(
            Row(
                name=f"retrieval, a picture by its caption: {name}",
                measured=f"{value:.3f}",
                against=f"the plain recipe: {PLAIN[name]}",
                target=f"≥ {aim}" if aim else "",
                met=None if aim is None else value >= aim,
                notes=[
                    f"{len(ranks)} pictures of the development half of tuxpaint-stamps, "
                    "searched with their captions among themselves"
                ],
            )
        )
    return rows
