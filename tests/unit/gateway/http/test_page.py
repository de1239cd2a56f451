"""The files of the page: whole, served right, and nothing in them that the policy forbids."""

import re
from html.parser import HTMLParser

import httpx2
import pytest
from fastapi import FastAPI

from services.gateway.http import errors
from services.gateway.http.routes import page

MODULES = sorted(path.name for path in (page.FOLDER / "js").glob("*.js"))
TEXT_RATIO_MIN = 4.5
"""WCAG 2.2, success criterion 1.4.3."""
BAR_RATIO_MIN = 3.0
"""The same, 1.4.11."""


@pytest.fixture
def web() -> httpx2.AsyncClient:
    app = FastAPI()
    errors.install(app)
    app.include_router(page.router)
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1:8080"
    )


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/page/style.css", "text/css"),
        ("/page/js/main.js", "javascript"),
        ("/page/icons.svg", "image/svg+xml"),
    ],
)
async def test_each_file_has_its_type_and_is_asked_for_by_its_tag(
    web: httpx2.AsyncClient, path: str, media_type: str
) -> None:
    first = await web.get(path)
    assert first.status_code == 200
    assert media_type in first.headers["content-type"]
    assert first.headers["cache-control"] == "no-cache"
    again = await web.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["/page/nothing.js", "/page/js", "/page/../routes/page.py", "/page/..%2froutes%2fpage.py"],
)
async def test_nothing_else_is_served(web: httpx2.AsyncClient, path: str) -> None:
    missing = await web.get(path)
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "PATH_UNKNOWN"


class Document(HTMLParser):
    """What a document refers to, and what is written into it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.links += [given[name] for name in ("src", "href") if given.get(name, "#")[0] != "#"]


async def test_the_document_holds_no_script_and_no_style_and_its_parts_exist(
    web: httpx2.AsyncClient,
) -> None:
    document = Document((await web.get("/")).text)
    assert document.inline == []
    assert document.links
    for link in document.links:
        assert (await web.get(link.partition("#")[0])).status_code == 200, link


@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_imports_is_there_and_used(module: str) -> None:
    source = (page.FOLDER / "js" / module).read_text()
    for names, path in re.findall(r'^import \{([^}]+)\} from "([^"]+)";', source, re.M):
        imported = page.FOLDER / "js" / path
        assert imported.is_file(), path
        exported = set(
            re.findall(
                r"^export (?:async )?(?:function\*?|class|const) (\w+)", imported.read_text(), re.M
            )
        )
        for name in (name.strip() for name in names.split(",") if name.strip()):
            assert name in exported, f"{module} imports {name} of {path}"
            assert len(re.findall(rf"\b{name}\b", source)) > 1, f"{module} does not use {name}"
    assert len(source.splitlines()) <= 250


def test_every_icon_is_in_the_sprite() -> None:
    known = set(re.findall(r'<symbol id="(\w+)"', (page.FOLDER / "icons.svg").read_text()))
    used = set(re.findall(r"icons\.svg#(\w+)", (page.FOLDER / "index.html").read_text()))
    for module in MODULES:
        source = (page.FOLDER / "js" / module).read_text()
        used |= set(re.findall(r'\b(?:icon|iconButton)\("(\w+)"', source))
    assert used <= known


def themes() -> dict[str, dict[str, str]]:
    """The colours of the light and the dark theme, by name."""
    style = (page.FOLDER / "style.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, re.S)
    read = re.compile(r"--([\w-]+): (#[0-9a-f]{6});")
    return {"light": dict(read.findall(light)), "dark": dict(read.findall(dark))}


def luminance(colour: str) -> float:
    """Relative luminance of sRGB, as WCAG defines it."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_of_a_theme_can_be_told_apart(theme: str) -> None:
    colours = themes()[theme]
    for text in ("ink", "soft", "accent", "live", "image", "video", "audio", "text"):
        for ground in ("paper", "sheet"):
            assert contrast(colours[text], colours[ground]) >= TEXT_RATIO_MIN, (text, ground)
    for text, ground in (("on-accent", "accent"), ("warn", "warn-soft"), ("accent", "accent-soft")):
        assert contrast(colours[text], colours[ground]) >= TEXT_RATIO_MIN, (text, ground)
    assert contrast(colours["edge"], colours["sheet"]) >= BAR_RATIO_MIN
