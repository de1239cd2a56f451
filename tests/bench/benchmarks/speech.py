"""Word error rate on speech of known text, beside faster-whisper called directly on the file."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensorium_client import Client
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

from services.encode.engines import ModelChoice
from services.runtime.models import resolve
from services.runtime.settings import load_settings
from tests.bench.estimates import estimate
from tests.bench.results import Plan, Row
from tests.bench.servers import serving
from tests.bench.spoken_texts import HELD_OUT_TEXTS, TEXTS
from tests.bench.stamps import development_half

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

# Voice and words a minute, as espeak-ng takes them.
VOICES = (("en-us", 130), ("en-us+f3", 150), ("en-gb", 175))
# Nobody tunes on these, nor on what they say.
HELD_OUT_VOICES = (
    ("en-us+m7", 150),
    ("en-gb+m1", 165),
    ("en-gb-scotland+f5", 145),
    ("en-us+m2", 180),
)
# That of section C of whisper's paper: numbers are digits, contractions are written out. Of its
# spellings of two countries, those of the texts.
_normalized = EnglishTextNormalizer(  # type: ignore[no-untyped-call]
    {
        "centimetres": "centimeters",
        "grey": "gray",
        "harbour": "harbor",
        "neighbour": "neighbor",
    }
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Recordings of one kind, each with the words that are said in it."""

    name: str
    recordings: Sequence[tuple[Path, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Count:
    """Words of one recording: those said, and those wrong by us and by faster-whisper."""

    said: int
    ours: int
    theirs: int


async def run(plan: Plan) -> list[Row]:
    """Each recording once: ours is not random, and theirs only where it is so unsure that it
    samples, which happens in captions of a word."""
    groups = list(_groups(plan))
    if not groups:
        return []
    rows: list[Row] = []
    model = await asyncio.to_thread(_load)
    async with serving(plan.folder) as server, Client(server.address) as client:
        for name, kinds in groups:
            group: list[Count] = []
            for kind in kinds:
                counts, notes = [], []
                for path, said in kind.recordings:
                    ours = " ".join([line.text async for line in client.transcribe(path)])
                    theirs = await asyncio.to_thread(_directly, model, path)
                    errors = [word_errors(said, words(heard)) for heard in (ours, theirs)]
                    counts.append(Count(len(said), *errors))
                    notes.append(f"heard: {ours[:300]} ...")
                rows.append(_row(kind.name, counts, notes[:1]))
                plan.say(f"{kind.name}: {rows[-1].measured}, directly {rows[-1].against}")
                group += counts
            if len(kinds) > 1:
                rows.append(_row(name, group))
                plan.say(f"{name}: {rows[-1].measured}, directly {rows[-1].against}")
    return rows


def _groups(plan: Plan) -> Iterator[tuple[str, Sequence[Spoken]]]:
    """Kinds of recordings that are also counted together, with a name for all of them."""
    if shutil.which("espeak-ng") is None:
        plan.say("voices left out: install Debian's espeak-ng")
    else:
        yield "all voices", list(_spoken(plan, VOICES, TEXTS))
        held_out = _spoken(plan, HELD_OUT_VOICES, HELD_OUT_TEXTS, ", held out")
        yield "all voices, held out", list(held_out)
    # The speakers leave the article out.
    captions = [
        (sound, words(stamp.caption.removeprefix("A ").removeprefix("An ")))
        for stamp in development_half()
        if (sound := stamp.path.with_name(f"{stamp.path.stem}_desc.ogg")).is_file()
    ]
    if captions:
        name = "spoken captions of tuxpaint-stamps"
        yield name, [Spoken(name, captions)]
    else:
        plan.say("captions left out: install Debian's tuxpaint-stamps-default")


def _spoken(
    plan: Plan, voices: Sequence[tuple[str, int]], texts: Sequence[str], suffix: str = ""
) -> Iterator[Spoken]:
    for voice, words_a_minute in voices:
        recordings = []
        for index, text in enumerate(texts):
            path = plan.folder / f"{voice}-{words_a_minute}-{index}.wav"
            _speak(path, voice, words_a_minute, text)
            recordings.append((path, words(text)))
        yield Spoken(f"{voice}, {words_a_minute} words a minute{suffix}", recordings)


def _speak(path: Path, voice: str, words_a_minute: int, text: str) -> None:
    subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "-g", "4", "-w", str(path), text],
        check=True,
    )


def _load() -> "WhisperModel":
    from faster_whisper import WhisperModel

    folder = resolve(ModelChoice().speech_english, load_settings().cache_dir).folder
    return WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)


def _directly(model: "WhisperModel", path: Path) -> str:
    """As its users call it: the same model and precision, its own defaults (five beams, the
    words before as a prompt, warmer where unsure), silence cut."""
    segments, _ = model.transcribe(str(path), language="en", vad_filter=True)
    return " ".join(segment.text for segment in segments)


def words(text: str) -> list[str]:
    """The words without case and punctuation, spelled in one way."""
    return str(_normalized(text)).split()


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Words wrong, missing or invented (Levenshtein, 1966)."""
    row = list(range(len(heard) + 1))
    for i, one in enumerate(said, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (one != other))
    return row[-1]


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Words wrong, missing or invented, as a part of those said."""
    return word_errors(said, heard) / len(said)


def _row(name: str, counts: Sequence[Count], notes: Sequence[str] = ()) -> Row:
    said = sum(count.said for count in counts)
    ours = sum(count.ours for count in counts)
    theirs = sum(count.theirs for count in counts)
    by_recording = estimate([(count.ours - count.theirs) / count.said for count in counts])
    return Row(
        name=f"word error rate: {name}",
        measured=f"{ours / said:.3f}",
        against=f"faster-whisper directly: {theirs / said:.3f}",
        target="no worse",
        met=ours <= theirs,
        notes=[
            f"{said} words in {len(counts)} recordings; wrong by recording, ours/directly: "
            + ", ".join(f"{count.ours}/{count.theirs}" for count in counts),
            f"difference of the rates by recording: median {by_recording.median:+.3f} "
            f"[{by_recording.low:+.3f}, {by_recording.high:+.3f}]",
            *notes,
        ],
        samples={
            "words": [count.said for count in counts],
            "words wrong": [count.ours for count in counts],
            "words wrong, directly": [count.theirs for count in counts],
        },
    )
