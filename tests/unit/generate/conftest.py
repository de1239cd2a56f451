"""The real model, loaded once."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from services.generate.backends import load_model
from services.generate.backends.base import LanguageModel
from services.generate.engine import Engine, EngineLimits
from services.runtime.settings import Settings


@pytest.fixture(scope="session")
def model() -> Iterator[LanguageModel]:
    settings = Settings(port=0, context_window_tokens=2048)
    model = load_model(settings.language_model, settings)
    yield model
    model.close()


@pytest.fixture
async def engine(model: LanguageModel) -> AsyncIterator[Engine]:
    """An engine that has read nothing; the model outlives it."""
    engine = Engine(model, EngineLimits(waiting_max=2, question_characters_max=4000))
    yield engine
    async with asyncio.timeout(30):
        await engine.finish()
    assert engine.active_slots == 0
