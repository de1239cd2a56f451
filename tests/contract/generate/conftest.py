"""The stage as it is served, its model loaded once."""

from collections.abc import AsyncIterator

import grpc
import pytest

from services.generate.service import GenerateService
from services.generate.stage import assemble
from services.runtime.settings import Settings
from tests.harness import serve_stage


@pytest.fixture(scope="session")
def service() -> GenerateService:
    return GenerateService(default_max_tokens=24)


@pytest.fixture(scope="session")
async def channel(service: GenerateService) -> AsyncIterator[grpc.aio.Channel]:
    settings = Settings(port=0, context_window_tokens=1024, generate_slots=2)
    async with serve_stage(assemble(settings, service), settings) as channel:
        yield channel
