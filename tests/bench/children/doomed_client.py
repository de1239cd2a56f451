"""A client that says when its work has reached a hop, and is killed there.

Arguments: the address, the hop ("decoder", "batch", "slot" or "prefill") and,
for the first two, a file.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from sensorium_client import Client
from sensorium_client.events import AssetInfo, Event, Progress, Token
from sensorium_client.media import MediaFile
from sensorium_client.options import AskOptions

LONG_QUESTION = "Who is right here, and why? " + "One said this and another said that. " * 200
STORY = "Write a Python program with twenty classes that models a library."
_TOKENS = 4
_PACE_S = 30.0
# Long enough to have begun, much shorter than reading the question takes.
_PREFILL_S = 1.0


async def main(address: str, hop: str, *files: str) -> None:
    """Ask, say when the hop is reached, and go on."""
    # At a pace at which it is killed before the end: what is committed is indexed regardless.
    media = [MediaFile(Path(file), duration_s=_PACE_S) for file in files]
    question = LONG_QUESTION if hop == "prefill" else STORY
    options = AskOptions(max_tokens=512, reuse_stored=False)
    print("{}", flush=True)
    async with Client(address) as client:
        events = client.ask(question, media, options=options)
        if hop == "prefill":
            async with asyncio.TaskGroup() as group:
                group.create_task(_read_on(events))
                await asyncio.sleep(_PREFILL_S)
                print("{}", flush=True)
        else:
            await _tell(hop, events)


async def _tell(hop: str, events: AsyncIterator[Event]) -> None:
    tokens = 0
    told = False
    async for event in events:
        tokens += isinstance(event, Token)
        reached = {
            "decoder": isinstance(event, AssetInfo),
            "batch": isinstance(event, Progress)
            and event.segment_count > event.encoded_segment_count,
            "slot": tokens == _TOKENS,
        }[hop]
        if reached and not told:
            told = True
            print("{}", flush=True)


async def _read_on(events: AsyncIterator[Event]) -> None:
    async for _ in events:
        pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
