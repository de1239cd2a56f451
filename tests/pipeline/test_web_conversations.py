"""Conversations on the page: found again, however many there are."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from services.gateway.conversations.records import TurnRecord
from services.gateway.conversations.store import ConversationStore
from services.gateway.database.engine import Database
from tests.contract.gateway.whole import Gateway, serve_gateway
from tests.harness import make_settings
from tests.pipeline.browsing import needs_chromium, new_visit

pytestmark = needs_chromium

CONVERSATION_COUNT = 230


@pytest.fixture
async def crowded(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with many conversations, and some in which nothing was asked."""
    async with serve_gateway(tmp_path) as gateway:
        database = Database(make_settings(tmp_path))
        store = ConversationStore(database)
        for number in range(1, CONVERSATION_COUNT + 1):
            made = await store.create("default", f"Number {number}")
            if number % 10:
                turn = TurnRecord("What?", "That.", (), (), 1, number, number)
                await store.append("default", made.conversation_id, 0, turn)
        await database.close()
        yield gateway


async def test_older_conversations_are_shown_when_asked_for_and_stay(
    browser: Browser, crowded: Gateway
) -> None:
    async with new_visit(browser) as visit:
        page = visit.page
        await page.goto(crowded.http_url)
        rows = page.locator(".conversations li a")
        older = page.get_by_role("button", name="Show older")
        await expect(rows).to_have_count(100)
        await older.focus()
        await page.keyboard.press("Enter")
        # All that have a turn, in order, and the next one at hand.
        await expect(rows).to_have_count(200)
        await expect(rows.nth(100)).to_be_focused()
        await older.click()
        await expect(older).to_be_hidden()
        numbers = [n for n in range(CONVERSATION_COUNT, 0, -1) if n % 10]
        assert await rows.all_inner_texts() == [f"Number {number}" for number in numbers]

        await visit.ask("What is new?")
        await expect(rows).to_have_count(len(numbers) + 1)
        await expect(rows.first).to_have_text("What is new?")
        await rows.last.click()
        await expect(rows.last).to_have_attribute("aria-current", "page")
        await expect(visit.turn.locator(".question")).to_have_text("What?")
