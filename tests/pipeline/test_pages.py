"""Writing on pictures with more pixels than a model sees at once."""

import dataclasses
import io
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from sensorium_client import Client
from sensorium_client.errors import SensoriumClientError
from sensorium_client.findings import SearchMatch
from sensorium_client.locators import PixelRegion
from sensorium_client.media import file_sha256
from sensorium_client.samples import Samples
from sensorium_client.searching import QueryPart, SearchOptions, SearchQuery

from services.ingest.tiles import tile_regions
from tests.pages import PX_4K, PrintedLine, draw_page
from tests.pipeline.test_walk import ask

# Tiles of a 4K page end at 1234, 1372, 2468 and 2606 px across, at 1023 and 1137 px down.
LINES = (
    PrintedLine("QUARTERLY REPORT OF THE HARBOUR OFFICE", 1100, 120, 72),
    PrintedLine("Invoice 70113 was paid late", 300, 420, 16),
    PrintedLine("Berth 14 is closed until the crane has been repaired in May", 1000, 520, 20),
    PrintedLine("Visitors sign the book at the gate", 2480, 640, 18),
    PrintedLine("Lamps are lit at dusk", 400, 1040, 24),
    PrintedLine("The pilot boat Marguerite leaves the northern pier at six", 1150, 1060, 40),
    PrintedLine("Ballast of the Marguerite: 2,450 tonnes", 2900, 1500, 14),
    PrintedLine("Draught at the stern: 6.2 metres", 2900, 1526, 14),
    PrintedLine("Water taken in on 3 March", 2900, 1552, 14),
)
REGION_PX = 8
"""How far a region may be from the ink: the detector leaves a margin around the letters."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a phone stores it: lying on its side with an EXIF orientation; and progressive."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    lying = draw_page(LINES).transpose(Image.Transpose.ROTATE_90)
    path = tmp_path_factory.mktemp("page") / "page.jpg"
    lying.save(path, quality=92, progressive=True, exif=exif)
    return path


async def test_small_text_of_a_4k_page_is_read_once_and_whole(client: Client, page: Path) -> None:
    seen = await ask(client, "What is written on the page?", [page])
    seen.check()
    read = [piece for piece in seen.evidence if piece.origin == "ocr"]
    assert " / ".join(piece.text for piece in read) == " / ".join(line.text for line in LINES)


async def test_a_4k_page_that_stands_on_its_head_is_read_as_it_is_written(
    client: Client, tmp_path: Path
) -> None:
    written = (
        "The ferry to the island leaves the harbour twice a day, and in winter once a week",
        "In the small cafe beside the ticket office the passengers wait for better weather",
        "Last Thursday a young teacher told the captain that her suitcase was missing",
        "He looked under every bench and found only an umbrella without a handle",
    )
    lines = [PrintedLine(text, 900, 1000 + 60 * row, 36) for row, text in enumerate(written)]
    path = tmp_path / "page.png"
    draw_page(lines).transpose(Image.Transpose.ROTATE_180).save(path)
    seen = await ask(client, "What is written on the page?", [path])
    read = [piece for piece in seen.evidence if piece.origin == "ocr"]
    assert " / ".join(piece.text for piece in read) == " / ".join(written)


async def matches_of(client: Client, text: str, sha256: str) -> tuple[SearchMatch, ...]:
    """Where a page matches words; empty if it does not."""
    options = SearchOptions(modalities=("image",), match_count_max=50)
    results = await client.find(SearchQuery((QueryPart(text=text),), options))
    return next((r.matches for r in results if r.asset.sha256 == sha256), ())


async def test_each_line_is_found_once_and_has_its_place(client: Client, page: Path) -> None:
    async for _ in client.upload([page]):
        pass
    sha256 = await file_sha256(page)
    for line in LINES:
        matches = await matches_of(client, line.text, sha256)
        (match,) = [match for match in matches if match.preview_text == line.text]
        region = match.locator.region
        assert region
        right, bottom = region.left_px + region.width_px, region.top_px + region.height_px
        found = (region.left_px, region.top_px, right, bottom)
        assert found == pytest.approx(line.box, abs=max(REGION_PX, line.size_px // 3)), line.text


async def test_tiles_are_found_and_have_their_place(client: Client, page: Path) -> None:
    async for _ in client.upload([page]):
        pass
    sha256 = await file_sha256(page)
    matches = await matches_of(client, "a page of text", sha256)
    found = {match.locator.region for match in matches}
    tiles = {PixelRegion(**dataclasses.asdict(tile)) for tile in tile_regions(*PX_4K)}
    assert tiles <= found


async def test_a_small_picture_of_what_is_stored(
    client: Client, page: Path, samples: Samples
) -> None:
    async for _ in client.upload([page, samples.film, samples.recording]):
        pass
    stored = {asset.description.name: asset async for asset in client.list_assets()}
    small = Image.open(io.BytesIO(await client.thumbnail(stored["page.jpg"].asset_id)))
    assert small.size == (256, 144)
    film_id = stored[samples.film.name].asset_id
    beginning, later = [await client.thumbnail(film_id, second) for second in (0.0, 4.0)]
    assert beginning != later
    with pytest.raises(SensoriumClientError) as caught:
        await client.thumbnail(stored[samples.recording.name].asset_id)
    assert caught.value.reason == "NO_PICTURE"
