"""Whether what is cited was shown and said when it is cited: frames that show their number,
and sentences between silences."""

import asyncio
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from sensorium_client import Client
from sensorium_client.events import EvidenceWeights
from sensorium_client.options import AskOptions, FrameSamplingMethod

from tests.bench.results import Plan, Row
from tests.bench.servers import serving
from tests.media import SAMPLE_RATE_HZ, timed_video, wav
from tests.voices import spoken

FRAMES = 150
FRAMES_ASKED = 12
# Three digits each; what is read as another number was misread.
_FIRST_NUMBER = 100
GAPS_MS = {"even rate": (40, 40), "uneven rate": (10, 200)}
"""The shortest and the longest time between two frames."""
SENTENCES = (
    "The ferry leaves the harbour at nine.",
    "Two hundred people live on the island.",
    "Nobody had seen the lighthouse keeper.",
    "The baker sells bread and apples.",
    "Rain is expected in the afternoon.",
    "The museum is closed on Mondays.",
    "Her brother plays the violin.",
    "We will meet again next summer.",
)
SILENCE_S = 1.5
# Of the loudest sample: where a sentence begins and ends.
_AUDIBLE = 0.02
_SCENE_FRAMES = 25

Pixels = npt.NDArray[np.uint8]


async def run(plan: Plan) -> list[Row]:
    """Once: there is nothing random in it but the gaps, which are the same every time."""
    rows: list[Row] = []
    async with serving(plan.folder) as server, Client(server.address) as client:
        for rate, (least, most) in GAPS_MS.items():
            times_ms = _times_ms(least, most)
            path = plan.folder / f"{rate.replace(' ', '-')}.mkv"
            pictures = [_numbered(number) for number in range(FRAMES)]
            path.write_bytes(await asyncio.to_thread(timed_video, pictures, times_ms))
            for method in FrameSamplingMethod:
                plan.say(f"frames of a video of {rate}, {method.value}")
                shown = await _shown(client, path, method)
                rows.append(_frame_row(f"{rate}, {method.value}", shown, times_ms))
        if shutil.which("espeak-ng") is None:
            plan.say("left out: install Debian's espeak-ng")
        else:
            rows.append(await _sentence_row(client, plan.folder / "sentences.wav"))
    return rows


def _times_ms(least: int, most: int) -> list[int]:
    gaps = np.random.default_rng(0).integers(least, most + 1, FRAMES - 1)
    return [0, *np.cumsum(gaps).tolist()]


def _numbered(number: int) -> Pixels:
    """A frame that shows its number, in the colours of its scene."""
    is_dark = number // _SCENE_FRAMES % 2 == 1
    paper, ink = ("black", "white") if is_dark else ("white", "black")
    picture = Image.new("RGB", (480, 270), paper)
    place = (240, 135)
    font = ImageFont.load_default(110)
    ImageDraw.Draw(picture).text(place, str(_FIRST_NUMBER + number), ink, font, anchor="mm")
    return np.asarray(picture)


async def _shown(
    client: Client, path: Path, method: FrameSamplingMethod
) -> list[tuple[float, int]]:
    """The number that was read on each frame, after the time that is cited for it."""
    options = AskOptions(
        frame_sampling=method,
        frame_count_max=FRAMES_ASKED,
        evidence_token_budget=2000,
        max_tokens=8,
        reuse_stored=False,
    )
    shown: dict[float, int] = {}
    async for event in client.ask("Which numbers are written there?", [path], options=options):
        if not isinstance(event, EvidenceWeights):
            continue
        for each in event.evidence:
            read = re.fullmatch(r"(\d{3})", each.text)
            number = int(read[1]) - _FIRST_NUMBER if read else -1
            if each.origin == "ocr" and 0 <= number < FRAMES and each.locator.span:
                shown[each.locator.span.start_s] = number
    return sorted(shown.items())


def _frame_row(name: str, shown: Sequence[tuple[float, int]], times_ms: Sequence[int]) -> Row:
    """How many frames lie between the one that was seen and the one at the cited time."""
    true_s = np.array(times_ms) / 1000
    off = [abs(int(np.abs(true_s - start_s).argmin()) - number) for start_s, number in shown]
    worst_s = max((abs(start_s - true_s[n]) for start_s, n in shown), default=float("nan"))
    return Row(
        name=f"times: frames, {name}",
        measured=f"{max(off)} frames off at worst, of {len(off)}" if off else "none was read",
        target="≤ 1 frame",
        met=bool(off) and max(off) <= 1,
        notes=[f"at worst {worst_s * 1000:.0f} ms between the cited time and the frame's own"],
        samples={"frames_off": [float(each) for each in off]},
    )


async def _sentence_row(client: Client, path: Path) -> Row:
    """Where the first word of a sentence begins and its last one ends."""
    recording, true_s = await asyncio.to_thread(_recording)
    await asyncio.to_thread(path.write_bytes, recording)
    words = [
        word
        async for transcript in client.transcribe(path, word_times=True)
        for word in transcript.words
    ]
    heard_s = _edges_s([(word.start_s, word.end_s) for word in words])
    if len(heard_s) != len(true_s):
        return Row(
            name="times: sentences between silences",
            measured=f"{len(heard_s) // 2} of {len(SENTENCES)} told apart",
        )
    off_s = [abs(heard - true) for heard, true in zip(heard_s, true_s, strict=True)]
    return Row(
        name="times: begin and end of sentences",
        measured=f"{median(off_s):.2f} s off (median), {max(off_s):.2f} s at worst",
        notes=[f"{len(SENTENCES)} sentences with {SILENCE_S:g} s of silence between them"],
        samples={"off_s": off_s},
    )


def _recording() -> tuple[bytes, list[float]]:
    """The sentences as a WAV file, and when each begins and ends to be heard."""
    silence = np.zeros(round(SILENCE_S * SAMPLE_RATE_HZ), np.int16)
    pieces, true_s = [silence], []
    for sentence in SENTENCES:
        said = spoken(sentence)
        audible = np.flatnonzero(np.abs(said.astype(np.int32)) > _AUDIBLE * np.abs(said).max())
        begin = sum(map(len, pieces))
        true_s += [(begin + int(at)) / SAMPLE_RATE_HZ for at in audible[[0, -1]]]
        pieces += [said, silence]
    return wav(np.concatenate(pieces)), true_s


def _edges_s(words: Sequence[tuple[float, float]]) -> list[float]:
    """Begin and end of each run of words, of which no two are a silence apart."""
    edges: list[float] = []
    for start_s, end_s in words:
        if not edges or start_s - edges[-1] > SILENCE_S / 2:
            edges += [start_s, end_s]
        else:
            edges[-1] = end_s
    return edges
