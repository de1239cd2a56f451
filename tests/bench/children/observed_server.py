"""All services in one process, which also tells when each hop was last at work.

Takes a line for each question; answers with the CLOCK_MONOTONIC second at which
each hop was last seen busy, once all have been idle for a moment.
"""

import asyncio
import json
import os
import sys
import time
from functools import partial

from services.encode import stage as encode_stage
from services.encode.engines import Engines, load_engines
from services.generate import stage as generate_stage
from services.generate.service import GenerateService
from services.host import builders
from services.ingest import stage as ingest_stage
from services.ingest.engine import IngestEngine
from services.runtime.server import BuildStage, Stage, hosting
from services.runtime.settings import Settings, load_settings

_SAMPLE_S = 0.001
_QUIET_S = 0.2


class Observer:
    """Builds the stages that can be looked into, and looks."""

    def __init__(self, settings: Settings) -> None:
        self.ingest: IngestEngine | None = None
        self.engines: Engines | None = None
        self.generate = GenerateService(settings.answer_tokens_max)
        self.last_busy_s: dict[str, float] = dict.fromkeys(("decoder", "batch", "slot"), 0.0)

    def builders(self) -> dict[str, BuildStage]:
        """All stages, three of them observed."""
        observed: dict[str, BuildStage] = {
            "ingest": self._build_ingest,
            "encode": partial(encode_stage.build, load=self._load_engines),
            "generate": lambda settings: generate_stage.assemble(settings, self.generate),
        }
        return builders() | observed

    async def watch(self) -> None:
        """Note for each hop when it is at work."""
        while True:
            now_s = time.monotonic()
            for hop, busy in self._busy().items():
                if busy:
                    self.last_busy_s[hop] = now_s
            await asyncio.sleep(_SAMPLE_S)

    async def settled(self) -> None:
        """Wait until nothing has been at work for a moment."""
        # What is watched has no events to wait for.
        while time.monotonic() - max(self.last_busy_s.values()) < _QUIET_S:  # noqa: ASYNC110
            await asyncio.sleep(_SAMPLE_S)

    def _busy(self) -> dict[str, bool]:
        assert self.ingest and self.engines and self.generate.engine
        engines = self.engines
        batchers = (engines.text, engines.classifier, engines.ocr, engines.speech_english)
        return {
            "decoder": self.ingest.active_decoders > 0,
            "batch": any(engine.pending or engine.running for engine in batchers),
            "slot": self.generate.engine.active_slots > 0,
        }

    def _build_ingest(self, settings: Settings) -> Stage:
        self.ingest = ingest_stage.build_engine(settings)
        return ingest_stage.stage_of(self.ingest)

    async def _load_engines(self, settings: Settings) -> Engines:
        self.engines = await load_engines(settings.cache_dir, settings.cpu_threads)
        return self.engines


async def serve() -> None:
    """Host, greet with the address, and answer lines until standard input ends."""
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    settings = load_settings()
    observer = Observer(settings)
    async with hosting(observer.builders(), settings) as (effective, servers):
        for server in servers:
            await server.start_stages()
        watcher = asyncio.create_task(observer.watch())
        print(json.dumps({"address": f"127.0.0.1:{effective.port}"}), file=output)
        while await asyncio.to_thread(sys.stdin.readline):
            await observer.settled()
            print(json.dumps(observer.last_busy_s), file=output)
        watcher.cancel()


if __name__ == "__main__":
    asyncio.run(serve())
