"""The page in a browser, as a user sees it."""

import contextlib
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Route, expect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium, which Debian has as the package of that name"
)

# What is expected is mostly a server's work, which playwright gives five seconds.
expect.set_options(timeout=30_000)

PICTURES = Path("build") / "page"
ANSWER_MS = 60_000
WIDTHS = {"wide": 1280, "narrow": 360}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


# However late a test looks, what is played has hardly moved on, and has not ended.
_PLAY_SLOWLY = """
document.addEventListener("play", (event) => { event.target.playbackRate = 0.1; }, true);
"""


class Visit:
    """A page that was opened, and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._said)

    def _said(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.problems.append(f"{said.text} {said.location}")

    @property
    def turn(self) -> Locator:
        """The last turn."""
        return self.page.locator(".turn").last

    async def begin(self) -> None:
        """Leave for a new conversation, as a user does: the page is loaded once for all tests."""
        self.problems.clear()
        for view in ("usage", "ask"):
            await self.page.locator(f"[data-view={view}]").click()
            # What is done before the view has changed is done in the one before.
            await expect(self.page.locator(f".{view}")).to_be_visible()
        await expect(self.page.locator(".examples")).to_be_visible()

    async def attach(self, *files: Path) -> None:
        """Choose files."""
        await self.page.set_input_files("input[type=file]", [str(file) for file in files])

    async def ask(self, question: str, *files: Path) -> str:
        """Ask about files; the answer's words once it is complete."""
        if files:
            await self.attach(*files)
        await self.page.fill("#question", question)
        await self.page.keyboard.press("Enter")
        await expect(self.turn.locator(".question")).to_have_text(question)
        await self.complete()
        return await self.turn.locator(".answer > .words").inner_text()

    async def complete(self) -> None:
        """Wait for the end of the last turn."""
        answer = self.turn.locator(".answer")
        await expect(answer).not_to_have_class(re.compile("writing"), timeout=ANSWER_MS)

    async def picture(self, name: str) -> None:
        """Keep a screenshot, for people to look at."""
        await self.page.screenshot(path=PICTURES / f"{name}.png")


@contextlib.asynccontextmanager
async def new_visit(browser: Browser) -> AsyncIterator[Visit]:
    """An empty tab."""
    page = await browser.new_page(viewport={"width": WIDTHS["wide"], "height": 860})
    await page.add_init_script(_PLAY_SLOWLY)
    visit = Visit(page)
    yield visit
    await page.context.close()
    assert visit.problems == []


def refusing(status: int, reason: str, retry_after: str) -> Callable[[Route], Awaitable[None]]:
    """Answers requests of the page with an error."""
    error = {"code": reason, "message": "It cannot be done now."}

    async def refuse(route: Route) -> None:
        await route.fulfill(
            status=status, headers={"Retry-After": retry_after}, json={"error": error}
        )

    return refuse
