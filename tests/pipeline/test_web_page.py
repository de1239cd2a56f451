"""The page in a browser, on real models: what a user does, sees and hears told."""

import asyncio
import re
from itertools import product
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect
from sensorium_client import Client
from sensorium_client.samples import Samples

from services.gateway.access.keys import KeyGrant, KeyStore
from services.gateway.database.engine import Database
from tests.contract.gateway.whole import serve_gateway
from tests.harness import make_settings
from tests.pipeline.browsing import (
    ANSWER_MS,
    SCHEMES,
    WIDTHS,
    Visit,
    needs_chromium,
    new_visit,
    refusing,
)
from tests.pipeline.platform import Platform
from tests.pipeline.wire import wired

pytestmark = needs_chromium


async def seconds(media: Locator) -> float:
    return float(await media.evaluate("media => media.currentTime"))


async def test_an_answer_about_a_picture_draws_what_it_rests_on(
    visit: Visit, samples: Samples
) -> None:
    assert "cat" in await visit.ask("What animal is this?", samples.photo)
    await visit.turn.locator(".citation").first.click()
    # In pixels of the source, whatever size it is shown at.
    overlay = visit.turn.locator(".overlay")
    await expect(overlay).to_have_attribute("viewBox", "0 0 451 300")
    region = overlay.locator(".region")
    assert [await region.get_attribute(side) for side in ("x", "y", "width", "height")] == [
        *("0", "0", "451", "300")
    ]
    drawn, shown = await overlay.bounding_box(), await visit.turn.locator("img").bounding_box()
    assert drawn == pytest.approx(shown, abs=1)
    await visit.picture("picture")


async def test_words_are_shown_before_the_question_and_a_citation_plays_them(
    visit: Visit, samples: Samples
) -> None:
    await visit.attach(samples.recording)
    lines = visit.turn.locator(".transcript .line")
    await expect(lines.filter(has_text="strawberry")).to_be_visible(timeout=ANSWER_MS)
    assert await visit.turn.locator(".question").is_hidden()
    assert "captain" in await visit.ask("Who built the lighthouse?")
    later = visit.turn.locator(".citation, .weights a").filter(has_text="strawberry").first
    await visit.turn.get_by_text("Evidence", exact=False).first.click()
    await later.click()
    sound = visit.turn.locator("audio")
    await expect(sound).to_have_js_property("paused", False)
    assert await seconds(sound) >= 4.0
    await visit.picture("recording")


async def test_a_film_shows_its_frames_and_a_text_its_words_and_evidence_goes_to_them(
    visit: Visit, samples: Samples, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("A berth costs 40 euros a night.")
    await visit.attach(samples.film, note)
    await expect(visit.turn.locator("pre")).to_have_text(note.read_text())
    await expect(visit.turn.locator(".filmstrip button")).to_have_count(3)
    await visit.ask("What happens in this film?")
    await visit.turn.locator(".filmstrip button").last.click()
    film = visit.turn.locator("video")
    await expect(film).to_have_js_property("paused", False)
    assert await seconds(film) >= 4.0
    heard = visit.turn.locator(".line").first
    await heard.click()
    assert 2.3 <= await seconds(film) < 4.0
    for section in await visit.turn.locator("details summary").all():
        await section.click()
    await expect(visit.turn.locator(".waterfall ol li")).to_have_count(4)
    shares = await visit.turn.locator(".weights .meter").evaluate_all(
        "meters => meters.map((meter) => Number(meter.style.getPropertyValue('--share')))"
    )
    assert sum(shares) == pytest.approx(1.0, abs=0.01)
    await visit.turn.locator(".weights a").filter(has_text="40 euros").click()
    await expect(visit.turn.locator("mark")).to_have_text(note.read_text())
    await visit.picture("film")


async def test_what_is_said_into_the_microphone_is_heard_while_it_is_said(visit: Visit) -> None:
    page = visit.page
    await page.get_by_role("button", name="Record", exact=True).click()
    await expect(visit.turn.locator(".recording")).to_be_visible()
    said = visit.turn.locator(".transcript")
    await expect(said).to_contain_text(re.compile("captain|island"), timeout=ANSWER_MS)
    assert await visit.turn.locator(".recording").is_visible()
    await page.get_by_role("button", name="Stop recording").click()
    await visit.ask("Where is the lighthouse?")
    assert await visit.turn.locator("audio").is_visible()


GIVE_A_PICTURE = """
async (target, way) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
  canvas.getContext("2d").fillRect(8, 8, 30, 30);
  const picture = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const data = new DataTransfer();
  data.items.add(new File([picture], `${way}.png`, { type: "image/png" }));
  target.dispatchEvent(way === "paste"
    ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}
"""


async def test_pictures_are_pasted_and_dropped_and_taken_back(visit: Visit) -> None:
    page = visit.page
    for way in ("paste", "drop"):
        await page.locator("#question").evaluate(GIVE_A_PICTURE, way)
        await expect(page.get_by_role("figure").filter(has_text=f"{way}.png")).to_contain_text(
            "64 × 48", timeout=ANSWER_MS
        )
    await page.get_by_role("button", name="Remove paste.png").click()
    await page.get_by_role("button", name="Remove drop.png").click()
    await expect(page.locator(".turn")).to_have_count(0)
    await expect(page.locator(".examples")).to_be_visible()


async def test_a_broken_file_is_told_and_the_next_question_answered(
    visit: Visit, samples: Samples, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(samples.photo.read_bytes()[:5000])
    await visit.attach(broken)
    problem = visit.page.get_by_role("alert")
    await expect(problem).to_contain_text("Copy it again")
    await visit.turn.get_by_role("button", name="Remove broken.jpg").click()
    await expect(problem).to_have_count(0)
    assert "cat" in await visit.ask("What animal is this?", samples.photo)


async def test_all_is_done_with_the_keyboard(visit: Visit) -> None:
    page = visit.page
    await expect(page.locator("#question")).to_be_focused()
    await page.keyboard.type("Write a very long story about the sea, and do not stop.")
    await page.keyboard.press("Enter")
    await expect(visit.turn.locator(".answer > .words")).not_to_be_empty(timeout=ANSWER_MS)
    await page.keyboard.press("Escape")
    await visit.complete()
    await expect(page.locator("#question")).to_be_focused()
    # Once around the page, however many conversations are listed.
    reached: set[str] = set()
    while "question" not in reached:
        await page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if not await focused.count():
            continue
        reached.add(await focused.evaluate("e => e.id || e.ariaLabel || e.textContent.trim()"))
        assert await focused.evaluate(
            "e => e.id === 'question' || getComputedStyle(e).outlineStyle !== 'none'"
        )
    assert {"Skip to the content", "Ask", "Search", "Usage", "key", "Attach files", "Record"} <= (
        reached
    )


async def test_media_that_waited_too_long_for_its_question_is_asked_about_all_the_same(
    browser: Browser, platform: Platform, samples: Samples
) -> None:
    async with new_visit(browser) as visit:
        page = visit.page
        await page.clock.install()
        await page.goto(platform.http_url)
        await visit.attach(samples.photo)
        await expect(visit.turn.locator(".understood")).to_be_visible(timeout=ANSWER_MS)
        assert platform.admission.active == 1
        async with asyncio.timeout(60):
            # It may have been understood before it was stored, and is given the time again.
            while platform.admission.active:
                await page.clock.run_for(31_000)
                await asyncio.sleep(0.1)
        await platform.at_rest(20.0)
        assert "cat" in await visit.ask("What animal is this?")


async def test_a_lost_connection_is_told_and_the_question_asked_again(
    browser: Browser, platform: Platform
) -> None:
    async with wired(platform.http_url) as wire, new_visit(browser) as visit:
        page = visit.page
        await page.goto(f"http://{wire.address}")
        await page.fill("#question", "Write a very long story about the sea, and do not stop.")
        await page.keyboard.press("Enter")
        words = visit.turn.locator(".answer > .words")
        await expect(words).not_to_be_empty(timeout=ANSWER_MS)
        wire.cut()
        problem = page.get_by_role("alert")
        await expect(problem).to_contain_text("connection to the server was lost")
        await problem.get_by_role("button", name="Try again").click()
        await expect(problem).to_have_count(0)
        await expect(words).not_to_be_empty(timeout=ANSWER_MS)
        await page.get_by_role("button", name="Stop", exact=True).click()
        await visit.complete()
        await expect(problem).to_have_count(0)


NAMELESS = """
() => [...document.querySelectorAll("a, button, input, textarea, summary, audio, video, [role]")]
  .filter((node) => node.checkVisibility() && !node.closest("[aria-hidden=true]"))
  .filter((node) => !(node.ariaLabel || node.innerText?.trim() || node.labels?.length
    || node.getAttribute("role") === "status"))
  .map((node) => node.outerHTML.slice(0, 120))
  .concat([...document.images].filter((picture) => !picture.hasAttribute("alt")).map((p) => p.src))
  .concat([...document.querySelectorAll("[id]")].map((node) => node.id)
    .filter((id, at, ids) => ids.indexOf(id) !== at))
"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


async def test_each_view_fits_and_names_what_can_be_used(visit: Visit, samples: Samples) -> None:
    page = visit.page
    await page.emulate_media(reduced_motion="reduce")
    await visit.attach(samples.photo, samples.recording)
    await visit.ask("What animal is this?")
    for section in await visit.turn.locator("summary").all():
        await section.click()
    for view in ("ask", "search", "usage"):
        if view != "ask":
            await page.locator(f"[data-view={view}]").click()
        for width, scheme in product(WIDTHS, SCHEMES):
            await page.emulate_media(color_scheme=scheme)
            await page.set_viewport_size({"width": WIDTHS[width], "height": 800})
            assert await page.evaluate(NAMELESS) == []
            assert await page.evaluate(OVERFLOW) <= 0, (view, width)
            await visit.picture(f"{view}-{width}-{scheme}")
    await page.set_viewport_size({"width": WIDTHS["wide"], "height": 860})


async def test_a_search_finds_a_moment_and_plays_it(
    visit: Visit, client: Client, samples: Samples
) -> None:
    # What other tests stored would be found too.
    for asset_id in [asset.asset_id async for asset in client.list_assets()]:
        await client.delete(asset_id)
    async for _ in client.upload([samples.recording, samples.photo, samples.film]):
        pass
    page = visit.page
    await page.get_by_role("link", name="Search").click()
    # The view takes the focus once it is there.
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("strawberry ice cream")
    await page.keyboard.press("Enter")
    named = page.get_by_role("heading", name=samples.recording.name)
    found = page.locator(".result").filter(has=named).first
    await expect(found.locator(".said").first).to_contain_text("strawberry")
    await found.locator(".time-strip button").first.click()
    sound = found.locator("audio")
    await expect(sound).to_have_js_property("paused", False)
    assert await seconds(sound) >= 4.0
    # One plays at a time.
    other = page.locator(".result").filter(has_text=samples.film.name)
    await other.locator(".time-strip button").first.click()
    await expect(other.locator("video")).to_have_js_property("paused", False)
    await expect(sound).to_have_js_property("paused", True)
    # A picture and words together.
    await page.set_input_files(".search input[type=file]", str(samples.photo))
    await page.fill("#words", "an animal")
    await page.keyboard.press("Enter")
    await expect(page.locator(".balance")).to_be_visible()
    await expect(page.locator(".results")).not_to_have_attribute("aria-busy", re.compile(".*"))
    names = await page.locator(".result h2").all_inner_texts()
    assert names.index(samples.photo.name) < names.index(samples.recording.name)
    pictured = page.locator(".result").filter(has_text=samples.photo.name)
    await expect(pictured.locator(".cover img")).to_have_js_property("naturalHeight", 170)
    await visit.picture("found")


async def test_who_asked_for_too_much_is_told_when_to_try_again(visit: Visit) -> None:
    page = visit.page
    waits = {"RATE_LIMITED": ("52", "52 s"), "QUOTA_EXCEEDED": ("50000", "14 h")}
    await page.get_by_role("link", name="Search").click()
    for reason, (retry_after, told) in waits.items():
        await page.route("**/v1/search", refusing(429, reason, retry_after))
        await page.fill("#words", reason)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text(f"Try again in {told}.")
    await page.unroute_all()
    # The browser tells of refused requests itself.
    visit.problems.clear()


async def test_a_conversation_is_left_opened_again_and_gone_on_with(
    visit: Visit, samples: Samples
) -> None:
    page = visit.page
    await visit.ask("What animal is this?", samples.photo)
    row = page.locator(".conversations li").first
    await expect(row.locator("a")).to_have_text("What animal is this?")
    await page.get_by_role("link", name="New conversation").click()
    await expect(page.locator(".turn")).to_have_count(0)
    await row.locator("a").click()
    await expect(visit.turn.locator(".media img")).to_be_visible()
    await visit.turn.locator(".citation").first.click()
    await expect(visit.turn.locator(".overlay .region")).to_have_count(1)
    assert "cat" in (await visit.ask("Is it a cat or a dog?")).lower()
    await expect(page.locator(".turn")).to_have_count(2)

    await row.hover()
    await row.get_by_role("button", name="Rename").click()
    await page.keyboard.type("My cat")
    await page.keyboard.press("Enter")
    await expect(row.locator("a")).to_have_text("My cat")
    await page.route("**/v1/conversations/*", refusing(503, "DATABASE_UNAVAILABLE", "1"))
    for is_refused in (True, False):
        await row.hover()
        await row.get_by_role("button", name="Delete").click()
        await row.get_by_role("button", name="Delete", exact=True).click()
        problem = page.locator(".conversations").get_by_role("alert")
        await expect(problem).to_have_count(int(is_refused))
        await page.unroute_all()
    assert [said for said in visit.problems if "503" not in said] == []
    visit.problems.clear()
    await expect(page.locator(".conversations").get_by_text("My cat")).to_have_count(0)
    await expect(page.locator(".turn")).to_have_count(0)


async def test_a_server_that_asks_for_a_key_gets_it(browser: Browser, tmp_path: Path) -> None:
    async with serve_gateway(tmp_path, auth="required") as gateway:
        database = Database(make_settings(tmp_path))
        _, key = await KeyStore(database).create(KeyGrant("acme"))
        await database.close()
        page = await browser.new_page()
        await page.goto(gateway.http_url)
        entry = page.get_by_role("dialog").get_by_label("Your key")
        await entry.fill("not-a-key")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_contain_text("does not accept the key")
        await entry.fill(key)
        await page.keyboard.press("Enter")
        await expect(entry).to_have_count(0)
        await page.fill("#question", "What is it?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".answer > .words")).to_have_text("A cat.")
        await expect(page.locator(".conversations li")).to_have_count(1)
        assert key not in page.url
        await page.context.close()
