"""The whole platform in this process, on real models, once for all walks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from sensorium_client import Client
from sensorium_client.samples import Samples, lay_out

from services.host import builders
from services.runtime.settings import Settings
from tests.harness import make_settings, serve_all


@dataclass(frozen=True)
class Platform:
    """A running platform."""

    address: str
    settings: Settings


@pytest.fixture(scope="session")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    settings = make_settings(tmp_path_factory.mktemp("platform"))
    async with serve_all(builders(), settings) as (_, effective):
        yield Platform(f"127.0.0.1:{effective.port}", effective)


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[Client]:
    async with Client(platform.address) as client:
        yield client


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return lay_out(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def rocket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import skimage.data

    path = tmp_path_factory.mktemp("rocket") / "rocket.jpg"
    Image.fromarray(skimage.data.rocket()).save(path, quality=92)  # type: ignore[no-untyped-call]
    return path
