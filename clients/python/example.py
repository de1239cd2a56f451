"""Ask about a file and print the answer as it comes: python example.py "What is this?" photo.jpg"""

import asyncio
import sys

from sensorium_client import Client
from sensorium_client.events import Citation, Token


async def main(question: str = "What is the capital of France?", *files: str) -> None:
    async with Client("127.0.0.1:50051") as client:
        async for event in client.ask(question, files=files):
            match event:
                case Token():
                    print(event.text, end="", flush=True)
                case Citation():
                    print(f"\n  see {event.evidence.asset_name}: {event.evidence.text}", end="")
    print()


asyncio.run(main(*sys.argv[1:]))
