"""The whole platform in this process, on real models, once for all walks."""

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from openai import AsyncOpenAI
from PIL import Image
from playwright.async_api import Browser, async_playwright
from sensorium.gateway.v1 import gateway_pb2_grpc
from sensorium_client import Client
from sensorium_client.samples import Samples, lay_out

from services.runtime.channel import open_channel
from tests.harness import make_settings
from tests.pipeline.browsing import CHROMIUM, PICTURES, Visit, new_visit
from tests.pipeline.platform import REMOTE_HOST, Platform, serve_platform
from tests.unit.encode.real import spoken_samples


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives the test that has to wait for the models the time for it."""
    for item in items:
        if isinstance(item, pytest.Function) and "platform" in item.fixturenames:
            item.add_marker(pytest.mark.timeout(300))
            break


@pytest.fixture(scope="session")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    settings = make_settings(
        tmp_path_factory.mktemp("platform"),
        remote_networks_allowed=f"{REMOTE_HOST}/32",
    )
    async with serve_platform(settings) as running:
        yield running


@pytest.fixture
def long_answers(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that do not end by themselves before it is seen that they were stopped."""
    monkeypatch.setitem(vars(platform.settings), "answer_tokens_max", 1500)


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[Client]:
    async with Client(platform.address) as client:
        yield client


@pytest.fixture
async def stub(platform: Platform) -> AsyncIterator[gateway_pb2_grpc.GatewayServiceStub]:
    async with open_channel(platform.address) as channel:
        yield gateway_pb2_grpc.GatewayServiceStub(channel)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return lay_out(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def rocket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import skimage.data

    path = tmp_path_factory.mktemp("rocket") / "rocket.jpg"
    Image.fromarray(skimage.data.rocket()).save(path, quality=92)  # type: ignore[no-untyped-call]
    return path


@pytest.fixture
async def web(platform: Platform) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=platform.http_url, timeout=120) as web:
        yield web


@pytest.fixture
async def openai(platform: Platform) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{platform.http_url}/v1", api_key="none") as openai:
        yield openai


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """A browser whose microphone hears a known sentence."""
    speech = tmp_path_factory.mktemp("speech") / "speech.wav"
    with wave.open(str(speech), "wb") as recording:
        recording.setparams((1, 2, 16_000, 0, "NONE", ""))
        recording.writeframes(spoken_samples())
    PICTURES.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--autoplay-policy=no-user-gesture-required",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={speech}%noloop",
            ],
        )
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
async def opened(browser: Browser, platform: Platform) -> AsyncIterator[Visit]:
    async with new_visit(browser) as visit:
        await visit.page.goto(platform.http_url)
        yield visit


@pytest.fixture
async def visit(opened: Visit) -> AsyncIterator[Visit]:
    await opened.begin()
    yield opened
    assert opened.problems == []
