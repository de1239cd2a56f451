from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sensorium.encode.v1 import encode_pb2_grpc

from tests.fakes import FakeEncoder
from tests.harness import make_settings, serve_stage


@pytest.fixture
def fake() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
async def stub(
    fake: FakeEncoder, tmp_path: Path
) -> "AsyncIterator[encode_pb2_grpc.EncodeServiceAsyncStub]":
    settings = make_settings(tmp_path, cache_dir=tmp_path / "cache")
    async with serve_stage(fake.stage(settings), settings) as channel:
        yield encode_pb2_grpc.EncodeServiceStub(channel)
