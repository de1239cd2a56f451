"""Character error rate on pages of known text, beside RapidOCR called directly on the picture;
and how long a question about a 4K picture takes, with and without writing."""

import asyncio
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from sensorium_client import Client
from sensorium_client.events import EvidenceWeights
from sensorium_client.media import MediaFile
from sensorium_client.options import AskOptions

from services.encode.engines import ModelChoice
from services.runtime.models import resolve
from services.runtime.settings import load_settings
from tests.bench import materials
from tests.bench.asking import TimedTurn, ask_timed
from tests.bench.benchmarks.speech import word_error_rate
from tests.bench.breakdown import breakdown, seconds
from tests.bench.estimates import estimate, percentile
from tests.bench.results import Plan, Row
from tests.bench.servers import serving
from tests.bench.spoken_texts import TEXT
from tests.pages import DARK_ON_LIGHT, PX_4K, Ink, PrintedLine, draw_page, typeface

PX_SMALL = (1280, 720)
TYPE_SIZES_PX = (12, 16, 24, 40)
CHARACTERS_MIN = 1200
QUESTION = "What is written in the picture?"
PHOTO_QUESTIONS = ("What does the photo show?", "Describe this picture.", "What is in it?")
PHOTO_TARGET_S = 2.0
SHORT = AskOptions(max_tokens=1, reuse_stored=False)
RECEIPT = (
    *("HARBOUR CAFE", "12 Quay Street", "Table 7  14 May 2026 12:41", "2 Coffee 5.60"),
    *("1 Apple cake 4.20", "1 Lemonade 3.10", "1 Fish soup 9.80", "Subtotal 22.70"),
    *("Service 2.27", "TOTAL 24.97 EUR", "Paid by card 24.97", "Thank you, come again"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A picture file and what is written on it, in reading order."""

    name: str
    text: str
    data: bytes
    suffix: str = ".png"


async def run(plan: Plan) -> list[Row]:
    """Each page once: there is nothing random in it. Times are taken ``plan.repeats`` times."""
    rows: list[Row] = []
    async with serving(plan.folder) as server, Client(server.address) as client:
        directly = _reader()
        for page in pages():
            path = plan.folder / f"page{page.suffix}"
            await asyncio.to_thread(path.write_bytes, page.data)
            ours = await _read(client, path)
            theirs = await asyncio.to_thread(directly, path)
            rows.append(_row(page, ours, theirs))
            plan.say(f"{page.name}: {rows[-1].measured}, {rows[-1].against}")
        rows.append(await _photo_row(client, plan))
        rows.append(await _dense_row(client, plan))
    return rows


def pages() -> Iterator[Page]:
    """Sizes of type on a large and a small page, and what is hard for other reasons."""
    for size_px, kind in ((PX_4K, "4K"), (PX_SMALL, "1280 px")):
        for type_px in TYPE_SIZES_PX:
            text, picture = _paragraph(size_px, type_px)
            yield Page(f"{kind} page, {type_px} px type", text, _file(picture, "PNG"))
    text, picture = _paragraph(PX_4K, 20, ("#f4f4f4", "#20242c"))
    yield Page("4K page, 20 px type, light on dark", text, _file(picture, "PNG"))
    yield Page("receipt, 28 px type", " ".join(RECEIPT), _file(_receipt(), "PNG"))
    text, picture = _paragraph(PX_4K, 16)
    progressive = _file(picture, "JPEG", quality=90, progressive=True)
    yield Page("4K page, 16 px type, progressive JPEG", text, progressive, ".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = picture.transpose(Image.Transpose.ROTATE_90)
    rotated = _file(lying, "JPEG", quality=90, exif=exif)
    yield Page("4K page, 16 px type, turned by EXIF", text, rotated, ".jpg")


def _paragraph(
    size_px: tuple[int, int], type_px: int, ink: Ink = DARK_ON_LIGHT, characters: int = 0
) -> tuple[str, Image.Image]:
    """Text from margin to margin, so that on a large page every line crosses the seams."""
    width_px, height_px = size_px
    margin_px = 2 * type_px
    pitch_px = round(1.6 * type_px)
    wanted = characters or CHARACTERS_MIN
    words = iter(TEXT.split() * (wanted // 200 + 20))
    lines: list[PrintedLine] = []
    # A third from the top: some of a 4K page's lines lie across the seam of the rows.
    top_px = margin_px if characters else height_px // 3
    line: list[str] = []
    for word in words:
        if typeface(type_px).getlength(" ".join([*line, word])) <= width_px - 2 * margin_px:
            line.append(word)
            continue
        lines.append(PrintedLine(" ".join(line), margin_px, top_px, type_px))
        top_px += pitch_px
        line = [word]
        enough = sum(len(each.text) for each in lines) >= wanted
        if enough or top_px > height_px - margin_px - pitch_px:
            break
    return " ".join(each.text for each in lines), draw_page(lines, size_px, ink)


def _receipt() -> Image.Image:
    lines = [PrintedLine(text, 40, 40 + 48 * index, 28) for index, text in enumerate(RECEIPT)]
    return draw_page(lines, (560, 660))


def _file(picture: Image.Image, encoder: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, encoder, **options)
    return buffer.getvalue()


async def _read(client: Client, path: Path) -> str:
    """What the evidence of a question about the writing says."""
    async for event in client.ask(QUESTION, [path], options=SHORT):
        if isinstance(event, EvidenceWeights):
            lines = [piece.text for piece in event.evidence if piece.origin == "ocr"]
            return " ".join(lines).replace(" / ", " ")
    return ""


def _reader() -> Callable[[Path], str]:
    """RapidOCR as its users call it: the same networks, its own defaults."""
    from rapidocr import RapidOCR

    files = resolve(ModelChoice().ocr, load_settings().cache_dir).files
    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.model_path": str(files["PP-OCRv6_det_small.onnx"]),
            "Rec.model_path": str(files["PP-OCRv6_rec_small.onnx"]),
            "Cls.model_path": str(files["ch_ppocr_mobile_v2.0_cls_mobile.onnx"]),
        }
    )

    def read(path: Path) -> str:
        found: Any = engine(str(path))
        return " ".join(found.txts or ())

    return read


def character_error_rate(written: str, read: str) -> float:
    """Characters wrong, missing or invented, as a part of those written; blanks count as one."""
    return word_error_rate(" ".join(written.split()), " ".join(read.split()))


def _row(page: Page, ours: str, theirs: str) -> Row:
    our_rate = character_error_rate(page.text, ours)
    their_rate = character_error_rate(page.text, theirs)
    return Row(
        name=f"character error rate: {page.name}",
        measured=f"{our_rate:.3f}",
        against=f"RapidOCR on the whole picture: {their_rate:.3f}",
        target="no worse",
        met=our_rate <= their_rate,
        notes=[f"{len(page.text)} characters; read: {ours[:200]} ..."],
    )


async def _photo_row(client: Client, plan: Plan) -> Row:
    """A photo and a question that is not about writing: the view is enough."""
    turns = []
    for seed in range(plan.repeats + 1):
        with Image.open(io.BytesIO(materials.photo(seed))) as photo:
            data = _file(photo.crop((0, 0, *PX_4K)), "JPEG", quality=90)
        question = PHOTO_QUESTIONS[seed % len(PHOTO_QUESTIONS)]
        turn = await _ask(client, plan.folder / f"photo-{seed}.jpg", data, question)
        if seed:
            turns.append(turn)
    waits_s = [turn.wait_s for turn in turns]
    p95_s = percentile(waits_s, 95)
    return Row(
        name="time to first token: 4K photo",
        measured=f"p50 {seconds(estimate(waits_s).median)}, p95 {seconds(p95_s)}",
        against="the last byte sent",
        target=f"< {PHOTO_TARGET_S:g} s",
        met=p95_s < PHOTO_TARGET_S,
        notes=breakdown(turns),
        samples={"client_s": waits_s},
    )


async def _dense_row(client: Client, plan: Plan) -> Row:
    """A page full of small type and a question about the writing: every tile must be read."""
    turns = []
    for seed in range(plan.at_most(2)):
        text, picture = _paragraph(PX_4K, 32 + 2 * seed, characters=20_000)
        data = _file(picture, "PNG")
        turns.append(await _ask(client, plan.folder / f"dense-{seed}.png", data, QUESTION))
        plan.say(f"dense page of {len(text)} characters: {seconds(turns[-1].wait_s)}")
    waits_s = [turn.wait_s for turn in turns]
    return Row(
        name="time to first token: 4K page dense with text",
        measured=f"p50 {seconds(estimate(waits_s).median)}",
        against="the last byte sent",
        notes=[
            f"{len(text)} characters; six tiles and large print in the view are read before it",
            *breakdown(turns),
        ],
        samples={"client_s": waits_s},
    )


async def _ask(client: Client, path: Path, data: bytes, question: str) -> TimedTurn:
    await asyncio.to_thread(path.write_bytes, data)
    return await ask_timed(client, question, [MediaFile(path)], options=SHORT)
