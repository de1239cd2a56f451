"""Stages on other machines: gateway and stage know each other by their certificates."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from sensorium.fuse.v1 import fuse_pb2, fuse_pb2_grpc
from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.gateway.stages import connect
from services.host import builders
from services.runtime.calls import CallScope, call_stage
from services.runtime.channel import open_channel
from services.runtime.errors import InvalidInput, Unavailable
from services.runtime.server import hosting
from services.runtime.settings import ENV_PREFIX, Settings
from services.runtime.tls import stage_tls
from tests.certificates import Authority, Certificate
from tests.contract.gateway.conversing import ask, serving
from tests.contract.search.test_search_service import document, embedding, hit_ids, index, search
from tests.harness import make_settings
from tests.ports import free_port

SERVING_WITHIN_S = 60


@pytest.fixture(scope="module")
def ours(authority: Authority) -> dict[str, Path]:
    """The settings of the gateway's machine."""
    return tls_settings(authority, authority.certificate("gateway"))


def tls_settings(authority: Authority, shown: Certificate) -> dict[str, Path]:
    return {
        "stage_tls_cert_file": shown.cert_file,
        "stage_tls_key_file": shown.key_file,
        "stage_tls_ca_file": authority.cert_file,
    }


@pytest.fixture(scope="module")
async def fuse_address(folder: Path, authority: Authority) -> AsyncIterator[str]:
    """A fuse stage in a process of its own, on another certificate of the same authority."""
    port = free_port()
    settings = tls_settings(authority, authority.certificate("fuse"))
    environment = {f"{ENV_PREFIX}{name.upper()}": str(path) for name, path in settings.items()}
    environment |= {f"{ENV_PREFIX}PORT": str(port), f"{ENV_PREFIX}DATA_DIR": str(folder / "data")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services", "fuse"),
        env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr
    said = b""
    with contextlib.suppress(asyncio.IncompleteReadError):
        async with asyncio.timeout(SERVING_WITHIN_S):
            said = await process.stderr.readuntil(b"fuse is ready")
    assert f"listening on https://127.0.0.1:{port}".encode() in said
    drained = asyncio.create_task(process.stderr.read())
    yield f"localhost:{port}"
    process.terminate()
    await drained
    assert await process.wait() == 0


async def test_a_turn_walks_through_a_stage_that_is_reached_over_tls(
    tmp_path: Path, fuse_address: str, ours: dict[str, Path]
) -> None:
    settings = make_settings(tmp_path, fuse_address=fuse_address, **ours)
    story = tmp_path / "story.txt"
    story.write_text("The lighthouse was built in 1871.")
    async with serving(settings) as served:
        answer = await ask(served.client, "When was the lighthouse built?", "", str(story))
    assert len(answer.cited) == 1


async def fuse(settings: Settings) -> str:
    """The first event of a fusion. Raises SensoriumError."""
    stages = connect(settings)
    try:
        async with call_stage(stages.fuse.StreamingFuse, CallScope()) as stream:
            config = fuse_pb2.FuseConfig(token_budget=100)
            await stream.send(fuse_pb2.StreamingFuseRequest(config=config))
            async for event in stream:
                return event.WhichOneof("event") or ""
        return ""
    finally:
        await stages.close()


async def test_who_shows_no_certificate_of_ours_is_not_served(
    tmp_path: Path, fuse_address: str, authority: Authority, ours: dict[str, Path]
) -> None:
    assert await fuse(make_settings(tmp_path, fuse_address=fuse_address, **ours)) == "ready"
    foreign = Authority(tmp_path, "foreign").certificate("eve")
    for settings in (
        make_settings(tmp_path, fuse_address=fuse_address),
        make_settings(tmp_path, fuse_address=fuse_address, **tls_settings(authority, foreign)),
    ):
        with pytest.raises(Unavailable) as refused:
            await fuse(settings)
        assert refused.value.reason == "STAGE_UNAVAILABLE"
    trusting = grpc.ssl_channel_credentials(authority.cert_file.read_bytes())
    async with open_channel(fuse_address, credentials=trusting) as channel:
        call = fuse_pb2_grpc.FuseServiceStub(channel).StreamingFuse()
        with pytest.raises(grpc.aio.AioRpcError) as bare:
            async for _ in call:
                pass
    assert bare.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_stage_that_shows_another_certificate_is_not_believed(
    tmp_path: Path, fuse_address: str, ours: dict[str, Path]
) -> None:
    other = ours | {"stage_tls_ca_file": Authority(tmp_path, "other").cert_file}
    with pytest.raises(Unavailable) as refused:
        await fuse(make_settings(tmp_path, fuse_address=fuse_address, **other))
    assert refused.value.reason == "STAGE_UNAVAILABLE"


@contextlib.asynccontextmanager
async def search_service(settings: Settings) -> AsyncIterator[Any]:
    """A search stage by itself, which serves over TLS."""
    tls = stage_tls(settings)
    assert tls
    async with hosting(builders(["search"]), settings) as (effective, servers):
        await servers[0].start_stages()
        address = f"localhost:{effective.port}"
        async with open_channel(address, credentials=tls.channel_credentials()) as channel:
            yield search_pb2_grpc.SearchServiceStub(channel)


async def test_search_processes_send_each_other_their_writes_over_tls(
    tmp_path: Path, ours: dict[str, Path]
) -> None:
    one, two = (
        make_settings(tmp_path / name, index_url=str(tmp_path / "index"), **ours) for name in "ab"
    )
    async with search_service(one) as writer, search_service(two) as other:
        assert (await index(other, document("d0", 1, 0)))[-1].summary.document_count == 1
        query = search_pb2.SearchQuery(embedding=embedding(1, 0), top_k=10)
        _, result, _ = await search(writer, query)
        assert hit_ids(result) == ["d0"]


@pytest.mark.parametrize("missing", ["CERT", "KEY", "CA"])
def test_half_of_the_settings_stops_the_start(
    tmp_path: Path, ours: dict[str, Path], missing: str
) -> None:
    given = {name: path for name, path in ours.items() if missing.lower() not in name}
    with pytest.raises(InvalidInput) as refused:
        stage_tls(make_settings(tmp_path, **given))
    assert refused.value.reason == "TLS_SETTING_MISSING"
    assert refused.value.subject == f"SENSORIUM_STAGE_TLS_{missing}_FILE"


def test_a_file_that_is_no_certificate_stops_the_start(
    tmp_path: Path, ours: dict[str, Path]
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    with pytest.raises(InvalidInput) as refused:
        stage_tls(make_settings(tmp_path, **ours | {"stage_tls_ca_file": wrong}))
    assert refused.value.reason == "TLS_FILES_INVALID"
