"""Questions that are asked before they can be answered: the page waits with them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.contract.gateway.whole import Gateway, serve_gateway
from tests.pipeline.browsing import Visit, needs_chromium, new_visit, refusing

pytestmark = needs_chromium


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with serve_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
async def visit(browser: Browser, gateway: Gateway) -> AsyncIterator[Visit]:
    async with new_visit(browser) as visit:
        await visit.page.goto(gateway.http_url)
        yield visit


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("A berth costs 40 euros a night.")
    return path


async def test_while_models_are_loaded_the_question_waits_and_is_asked_then(
    visit: Visit, note: Path
) -> None:
    page, waiting = visit.page, visit.page.locator(".waiting")
    await page.route("**/v1/conversations", refusing(503, "NOT_READY", "1"))
    await visit.attach(note)
    await expect(waiting).to_contain_text("still loading its models. What was added is sent")
    await page.fill("#question", "What is it?")
    await page.keyboard.press("Enter")
    await expect(waiting).to_contain_text("The question is asked as soon as it can be.")

    await waiting.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#question")).to_have_value("What is it?")
    await expect(visit.turn.locator(".question")).to_be_hidden()
    await expect(visit.turn.get_by_role("button", name="Remove note.txt")).to_be_visible()

    await page.keyboard.press("Enter")
    await expect(waiting).to_contain_text("The question is asked as soon as it can be.")
    await page.unroute_all()
    await expect(visit.turn.locator(".answer > .words")).to_have_text("A cat.")
    await expect(visit.turn.locator(".citation")).to_contain_text("40 euros")
    await expect(waiting).to_be_hidden()
    # The browser tells of refused requests itself.
    assert [problem for problem in visit.problems if "503" not in problem] == []
    visit.problems.clear()


async def test_a_question_about_media_that_is_being_sent_waits_for_it(
    visit: Visit, note: Path
) -> None:
    page, waiting = visit.page, visit.page.locator(".waiting")
    pass_on = asyncio.Event()

    async def hold_bytes(socket: WebSocketRoute) -> None:
        """Carries all messages in order, but none past the first bytes while it is closed."""
        server = socket.connect_to_server()
        held: asyncio.Queue[str | bytes] = asyncio.Queue()

        async def carry() -> None:
            while True:
                message = await held.get()
                if isinstance(message, bytes):
                    await pass_on.wait()
                server.send(message)

        carrying.append(asyncio.create_task(carry()))
        socket.on_message(held.put_nowait)

    carrying: list[asyncio.Task[None]] = []
    await page.route_web_socket("**/v1/converse", hold_bytes)
    await visit.attach(note)
    await page.fill("#question", "What is it?")
    await page.keyboard.press("Enter")
    await expect(waiting).to_have_text("Waiting until note.txt is stored. Cancel")
    await page.keyboard.press("Escape")
    await expect(page.locator("#question")).to_have_value("What is it?")
    await expect(page.get_by_role("figure")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(waiting).to_contain_text("Waiting until note.txt is stored.")
    pass_on.set()
    await expect(visit.turn.locator(".answer > .words")).to_have_text("A cat.")
    await expect(visit.turn.locator(".citation")).to_contain_text("40 euros")
    await expect(waiting).to_be_hidden()
    await expect(page.locator(".turn")).to_have_count(1)
    for task in carrying:
        task.cancel()


async def test_a_conversation_of_earlier_is_opened_once_models_are_loaded(visit: Visit) -> None:
    page = visit.page
    await visit.ask("What is it?")
    await page.route("**/v1/conversations/*", refusing(503, "NOT_READY", "1"))
    await page.reload()
    await expect(page.get_by_text("still loading its models")).to_be_visible()
    await page.unroute_all()
    await expect(visit.turn.locator(".question")).to_have_text("What is it?")
    await expect(page.get_by_text("still loading its models")).to_have_count(0)
    visit.problems.clear()
