"""Conversations on the page: found again, however many there are, and shown as they were."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Browser, Locator, expect
from sensorium_client import Client
from sensorium_client.samples import Samples

from services.gateway.conversations.records import TurnRecord
from services.gateway.conversations.store import ConversationStore
from services.gateway.database.engine import Database
from tests.contract.gateway.whole import Gateway, serve_gateway
from tests.harness import make_settings
from tests.media import tone, wav
from tests.pipeline.browsing import ANSWER_MS, Visit, needs_chromium, new_visit, refusing
from tests.voices import samples_of

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


SHOWN = """
turn => {
const length = (node) => node?.style.cssText.replace(/\\d+\\.\\d+/g, (n) => Number(n).toFixed(4));
return Object.fromEntries(Object.entries({
  words: ".answer > .words", marked: ".marker", sources: ".citation", facts: ".facts",
  heard: ".transcript li", gates: ".gates li", weighed: ".weights li", time: ".waterfall li",
}).map(([name, selector]) => [name, [...turn.querySelectorAll(selector)].map((node) =>
  [node.textContent, length(node), length(node.querySelector("[style]"))])]));
}
"""


async def shown(turn: Locator) -> dict[str, Any]:
    """What a turn tells, and how long its bars are."""
    return dict(await turn.evaluate(SHOWN))


async def test_a_conversation_opened_again_tells_what_it_told_while_it_was_answered(
    visit: Visit, client: Client, samples: Samples, tmp_path: Path
) -> None:
    page = visit.page
    # Bytes of its own: of known ones the transcript is that of who stored them first.
    recording = tmp_path / "recording.wav"
    recording.write_bytes(wav(np.append(samples_of(samples.recording), tone(0.1) // 1000)))
    await visit.ask("Who built the lighthouse?", recording, samples.film)
    await expect(visit.turn.locator(".transcript li")).not_to_have_count(0)
    before = await shown(visit.turn)
    assert all(before[part] for part in ("sources", "facts", "heard", "gates", "weighed", "time"))
    await page.reload()
    media = visit.turn.get_by_role("figure")
    await expect(media).to_have_count(2)
    for medium in await media.all():
        await medium.scroll_into_view_if_needed()
    heard = visit.turn.locator(".transcript li")
    await expect(heard).to_have_count(len(before["heard"]), timeout=ANSWER_MS)
    assert await shown(visit.turn) == before

    await visit.turn.locator(".evidence summary").click()
    await visit.turn.locator(".weights a").filter(has_text="strawberry").click()
    sound = visit.turn.locator("audio")
    await expect(sound).to_have_js_property("paused", False)
    assert float(await sound.evaluate("media => media.currentTime")) >= 4.0
    await visit.turn.locator(".trace summary").click()
    await visit.turn.get_by_role("button", name="Show every span").click()
    await expect(visit.turn.locator(".waterfall .name").first).to_have_text("gateway.turn")
    await visit.picture("opened-again")

    # As after a restart: traces are kept in memory.
    await page.route("**/v1/traces/*", refusing(404, "TRACE_UNKNOWN", "0"))
    await page.reload()
    await visit.turn.locator(".trace summary").click()
    await visit.turn.get_by_role("button", name="Show every span").click()
    trace = visit.turn.locator(".trace")
    await expect(trace).to_contain_text("does not keep every span of this answer any more")
    await expect(trace.locator(".waterfall ol li")).not_to_have_count(0)
    await page.unroute_all()
    assert [problem for problem in visit.problems if "404" not in problem] == []
    visit.problems.clear()

    for asset_id in [asset.asset_id async for asset in client.list_assets()]:
        await client.delete(asset_id)
    await page.reload()
    # What was said stays said, its markers as plain text.
    words = visit.turn.locator(".answer > .words")
    await expect(words).not_to_be_empty()
    assert re.sub(r"\[(\d+)\]", r"\1", await words.inner_text()) == before["words"][0][0]
    await expect(page.locator("figure, .citation, .marker, .evidence, .gates")).to_have_count(0)
    await expect(visit.turn.locator(".trace")).to_have_count(1)
