"""Browsers at the gateway: gRPC-Web through a real Envoy, from Node and from Chromium."""

import asyncio
import re
import shutil
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Page, async_playwright, expect
from sensorium_client import Client
from sensorium_client.samples import Samples

from tests.pipeline.browsing import ANSWER_MS, CHROMIUM, needs_chromium
from tests.pipeline.platform import Platform, until
from tests.ports import free_port
from tests.toolchains import JS_CLIENT, ROOT, node_client

ENVOY = Path(sys.executable).parent / "envoy"
CONFIG = ROOT / "deploy" / "envoy" / "grpc-web.yaml"
UP_WITHIN_S = 60.0
FREE_WITHIN_S = 10.0
GATEWAY = "/sensorium.gateway.v1.GatewayService"


@pytest.fixture(scope="module")
async def proxy(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The example's Envoy before the platform; its URL."""
    port = free_port()
    config = CONFIG.read_text()
    for written, real in (("50051", platform.address.split(":")[1]), ("8081", str(port))):
        assert f"port_value: {written}" in config
        config = config.replace(f"port_value: {written}", f"port_value: {real}")
    path = tmp_path_factory.mktemp("envoy") / "grpc-web.yaml"
    path.write_text(config)
    options = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    envoy = await asyncio.create_subprocess_exec(
        str(ENVOY), "-c", str(path), *options, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: listens(port), UP_WITHIN_S, "Envoy listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        envoy.terminate()
        await envoy.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def start_node(program: str, *arguments: str) -> asyncio.subprocess.Process:
    """Run a module in clients/js."""
    return await asyncio.create_subprocess_exec(
        *("node", "--input-type=module", "--eval", program, *arguments),
        cwd=await node_client(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def node(program: str, *arguments: str) -> str:
    """What a module in clients/js prints."""
    process = await start_node(program, *arguments)
    out, told = await process.communicate()
    assert process.returncode == 0, told.decode()
    return out.decode()


async def test_an_answer_streams_through_the_proxy(proxy: str) -> None:
    program = """
        import { connect } from "./web/gateway.mjs";
        const client = connect(process.argv[1]);
        for await (const { event } of client.ask({ question: "Is the sky blue?" })) {
          console.log(event.case);
        }
    """
    *tokens, last = (await node(program, proxy)).split()
    assert len(tokens) > 1
    assert set(tokens) == {"token"}
    assert last == "turnComplete"


async def test_an_error_comes_through_with_its_reason(proxy: str) -> None:
    program = """
        import { explain } from "./told.mjs";
        import { connect } from "./web/gateway.mjs";
        const client = connect(process.argv[1]);
        try {
          for await (const _ of client.ask({ question: "Who?", assetIds: ["unknown"] }));
        } catch (error) {
          console.log(explain(error));
        }
        await client.search({}).catch((error) => console.log(explain(error)));
    """
    streamed, unary = (await node(program, proxy)).splitlines()
    assert streamed.startswith("ASSET_NOT_FOUND: ")
    assert unary.startswith("QUERY_MISSING: ")


async def test_who_stops_an_answer_frees_the_model(proxy: str, platform: Platform) -> None:
    program = """
        import { connect } from "./web/gateway.mjs";
        const request = { question: "Tell a very long story.", answer: { maxTokens: 1500 } };
        const stop = new AbortController();
        const answer = connect(process.argv[1]).ask(request, { signal: stop.signal });
        await answer[Symbol.asyncIterator]().next();
        stop.abort();
        console.log("stopped");
        setInterval(() => {}, 1000);  // The connection stays: only the call ends.
    """
    process = await start_node(program, proxy)
    assert process.stdout
    assert await process.stdout.readline() == b"stopped\n"
    await platform.at_rest(FREE_WITHIN_S)
    process.kill()
    await process.wait()


@pytest.mark.parametrize(
    ("origin", "allowed"), [("http://localhost:8000", True), ("https://elsewhere.example", False)]
)
async def test_only_pages_of_this_machine_may_call(proxy: str, origin: str, allowed: bool) -> None:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-grpc-web",
    }
    async with httpx2.AsyncClient() as http:
        answer = await http.options(f"{proxy}{GATEWAY}/Ask", headers=asked)
    assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)


async def test_nothing_but_the_door_is_reached(proxy: str) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.post(f"{proxy}/sensorium.search.v1.SearchService/Search")
    assert answer.status_code == 404


class Files(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A file server on a thread; its URL."""
    handler = partial(Files, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
async def page(proxy: str, tmp_path: Path) -> AsyncIterator[Page]:
    """The example's page in Chromium, bundled as its README says."""
    folder = await node_client()
    bundling = await asyncio.create_subprocess_exec(
        *("npm", "run", "--silent", "build", "--", f"--outdir={tmp_path / 'build'}"),
        cwd=folder,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await bundling.wait() == 0
    shutil.copy(JS_CLIENT / "web" / "index.html", tmp_path)
    with serving(tmp_path) as url:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox"]
            )
            page = await browser.new_page()
            await page.goto(url)
            await page.fill("[name=proxy]", proxy)
            yield page
            await browser.close()


@needs_chromium
async def test_the_page_asks_and_searches(page: Page, client: Client, samples: Samples) -> None:
    async for _ in client.upload([samples.photo]):
        pass
    await page.fill("[name=words]", "What animal is in the photo?")
    await page.click("text=Ask")
    notes = page.locator("#notes li")
    # Whatever else is stored may be consulted too.
    await expect(notes.first).to_contain_text(re.compile(r"\[\d+\] \S+, .+"), timeout=ANSWER_MS)
    assert await page.inner_text("#answer")

    await page.fill("[name=words]", "a cat")
    await page.click("text=Search")
    await expect(page.locator("#answer")).to_be_empty()
    await expect(notes.filter(has_text="photo.jpg").first).to_contain_text("px at")

    await page.fill("[name=words]", "x" * 9000)
    await page.click("text=Ask")
    await expect(page.locator("#problem")).to_contain_text("QUESTION_TOO_LONG: ")
