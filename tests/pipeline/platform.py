"""The whole platform in this process, with a view of the engines behind its stages."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from services.encode.engines import Engines, load_engines
from services.encode.stage import build as build_encode
from services.gateway.admission import Admission
from services.gateway.http.server import HttpServer
from services.gateway.stage import assemble as assemble_gateway
from services.generate.engine import Engine as GenerateEngine
from services.generate.service import GenerateService
from services.generate.stage import assemble as assemble_generate
from services.host import builders
from services.ingest.engine import IngestEngine
from services.ingest.stage import build_engine, stage_of
from services.runtime.server import BuildStage, Stage
from services.runtime.settings import Settings
from tests.harness import serve_all

POLL_S = 0.02
REMOTE_HOST = "127.0.0.2"
"""A loopback address of which requests may name URLs, as they may not of any other."""


async def until(
    condition: Callable[[], bool | Awaitable[bool]], within_s: float, what: str
) -> None:
    """Wait for a condition. Raises AssertionError naming it when the time is over."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while True:
        met = condition()
        if met if isinstance(met, bool) else await met:
            return
        assert loop.time() < deadline_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(POLL_S)


@dataclass
class Parts:
    """What the stages are made of, as far as a test looks into them."""

    ingest: IngestEngine | None = None
    encode: list[Engines] = field(default_factory=list)
    generate: GenerateService | None = None
    admission: Admission | None = None
    http: HttpServer | None = None

    def builders(self) -> dict[str, BuildStage]:
        """The build functions of all stages; they leave their parts here."""
        return {
            **builders(),
            "ingest": self._build_ingest,
            "encode": lambda settings: build_encode(settings, self._load_encode),
            "generate": self._build_generate,
            "gateway": self._build_gateway,
        }

    def _build_ingest(self, settings: Settings) -> Stage:
        self.ingest = build_engine(settings)
        return stage_of(self.ingest)

    async def _load_encode(self, settings: Settings) -> Engines:
        self.encode.append(await load_engines(settings.cache_dir, settings.cpu_threads))
        return self.encode[-1]

    def _build_generate(self, settings: Settings) -> Stage:
        self.generate = GenerateService(settings.answer_tokens_max)
        return assemble_generate(settings, self.generate)

    def _build_gateway(self, settings: Settings) -> Stage:
        self.admission = Admission(settings.turns_max)
        self.http = HttpServer(settings)
        return assemble_gateway(settings, self.admission, self.http)


@dataclass(frozen=True)
class Platform:
    """A running platform and its engines."""

    address: str
    http_url: str
    settings: Settings
    ingest: IngestEngine
    encode: Engines
    generate: GenerateEngine
    admission: Admission

    @property
    def encoding(self) -> int:
        """Items that wait for a model that perceives, and forward passes under way."""
        engines = (
            self.encode.text,
            self.encode.classifier,
            self.encode.ocr,
            self.encode.speech_english,
        )
        return sum(engine.pending + engine.running for engine in engines)

    async def busy(self) -> dict[str, int]:
        """Everything that is held now, by name; empty when the platform is at rest."""
        held = {
            "decoders": self.ingest.active_decoders,
            "upload parts": self.ingest.open_part_count,
            "uploads": len(self.ingest.uploads),
            "encoder items": self.encoding,
            "slots": self.generate.active_slots,
            "waiting for a slot": self.generate.waiting,
            "computing slots": await self.generate.busy_slots(),
            "turns": self.admission.active,
        }
        return {name: count for name, count in held.items() if count}

    async def at_rest(self, within_s: float) -> None:
        """Wait until nothing is held any more."""
        held: dict[str, int] = {}

        async def free() -> bool:
            nonlocal held
            held = await self.busy()
            return not held

        try:
            await until(free, within_s, "at rest")
        except AssertionError:
            raise AssertionError(f"after {within_s:g} s still held: {held}") from None


@contextlib.asynccontextmanager
async def serve_platform(settings: Settings) -> AsyncIterator[Platform]:
    """Host all stages on a free port, on real models."""
    parts = Parts()
    async with serve_all(parts.builders(), settings) as (_, effective):
        assert parts.ingest
        assert parts.generate
        assert parts.generate.engine
        assert parts.admission
        assert parts.http
        yield Platform(
            f"127.0.0.1:{effective.port}",
            f"http://127.0.0.1:{parts.http.port}",
            effective,
            parts.ingest,
            parts.encode[0],
            parts.generate.engine,
            parts.admission,
        )
