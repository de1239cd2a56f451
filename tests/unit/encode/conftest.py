import pytest

from services.encode.engines import Engines
from tests.fakes import FakeEncoder
from tests.unit.encode.real import real_engines


@pytest.fixture(scope="session")
async def engines() -> Engines:
    return await real_engines()


@pytest.fixture
def fake() -> FakeEncoder:
    return FakeEncoder()
