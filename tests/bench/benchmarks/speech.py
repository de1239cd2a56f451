"""Word error rate on speech of known text, beside faster-whisper called directly on the file."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensorium_client import Client

from services.encode.engines import ModelChoice
from services.runtime.models import resolve
from services.runtime.settings import load_settings
from tests.bench.results import Plan, Row
from tests.bench.servers import serving
from tests.bench.stamps import development_half

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

TEXT = (
    "The ferry to the island leaves the harbour twice a day. In winter the sea is often too "
    "rough, and the passengers wait in the small cafe beside the ticket office. Last Thursday "
    "a young teacher told the captain that her suitcase was missing. He looked under every "
    "bench, behind the engine and between the wooden boxes, but he found only an umbrella. "
    "When the storm was over they crossed the water together. On the other side her brother "
    "stood in the rain, and in his hand he held the suitcase that she had forgotten at home. "
    "They laughed about it for the whole evening, drank hot chocolate in front of the fire, "
    "and decided to travel to the mountains in the spring."
)
HELD_OUT_TEXT = (
    "The island was first described by a Portuguese captain in the summer of a stormy year. He "
    "reported steep cliffs, a single beach of grey stones, and thousands of birds that did not "
    "fear his sailors. Today about two hundred people live there, most of them in one village. "
    "They grow potatoes, catch lobsters, and knit heavy sweaters for tourists. A supply ship "
    "arrives nine times a year, unless the waves are too high for the small boats. There is one "
    "policeman, but the prison is used for storing onions. In the evening, when the generator "
    "stops at eleven, the stars are so bright that you can read the headlines of a newspaper by "
    "their light."
)
# Voice and words a minute, as espeak-ng takes them.
VOICES = (
    ("en-us", 130, TEXT),
    ("en-us+f3", 150, TEXT),
    ("en-gb", 175, TEXT),
    # Nobody tunes on these, nor on what they say.
    ("en-us+m7", 150, HELD_OUT_TEXT),
    ("en-gb+m1", 165, HELD_OUT_TEXT),
    ("en-gb-scotland+f5", 145, HELD_OUT_TEXT),
    ("en-us+m2", 180, HELD_OUT_TEXT),
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Recordings of one kind, each with the words that are said in it."""

    name: str
    recordings: Sequence[tuple[Path, Sequence[str]]]


async def run(plan: Plan) -> list[Row]:
    """Each recording once: there is nothing random in it."""
    kinds = list(_spoken(plan))
    if not kinds:
        return []
    rows: list[Row] = []
    model = await asyncio.to_thread(_load)
    async with serving(plan.folder) as server, Client(server.address) as client:
        for kind in kinds:
            ours, theirs = [], []
            for path, _ in kind.recordings:
                ours.append(" ".join([line.text async for line in client.transcribe(path)]))
                theirs.append(await asyncio.to_thread(_directly, model, path))
            rows.append(_row(kind, ours, theirs))
            plan.say(f"{kind.name}: {rows[-1].measured}, directly {rows[-1].against}")
    return rows


def _spoken(plan: Plan) -> Iterator[Spoken]:
    if shutil.which("espeak-ng") is None:
        plan.say("voices left out: install Debian's espeak-ng")
    else:
        for voice, words_a_minute, text in VOICES:
            path = plan.folder / f"{voice}-{words_a_minute}.wav"
            _speak(path, voice, words_a_minute, text)
            held_out = ", held out" if text is HELD_OUT_TEXT else ""
            name = f"{voice}, {words_a_minute} words a minute{held_out}"
            yield Spoken(name, [(path, words(text))])
    captions = [
        (sound, words(stamp.caption))
        for stamp in development_half()
        if (sound := stamp.path.with_name(f"{stamp.path.stem}_desc.ogg")).is_file()
    ]
    if captions:
        yield Spoken("spoken captions of tuxpaint-stamps", captions)
    else:
        plan.say("captions left out: install Debian's tuxpaint-stamps-default")


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
    """As its users call it: the same model and precision, its own defaults, silence cut."""
    segments, _ = model.transcribe(str(path), language="en", vad_filter=True)
    return " ".join(segment.text for segment in segments)


def words(text: str) -> list[str]:
    """The words without case and punctuation."""
    return re.findall(r"[a-z']+", text.lower())


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


def _row(kind: Spoken, ours: Sequence[str], theirs: Sequence[str]) -> Row:
    said_count = sum(len(said) for _, said in kind.recordings)

    def rate(heard: Sequence[str]) -> float:
        pairs = zip(kind.recordings, heard, strict=True)
        return sum(word_errors(said, words(text)) for (_, said), text in pairs) / said_count

    our_rate, their_rate = rate(ours), rate(theirs)
    return Row(
        name=f"word error rate: {kind.name}",
        measured=f"{our_rate:.3f}",
        against=f"faster-whisper directly: {their_rate:.3f}",
        target="no worse",
        met=our_rate <= their_rate,
        notes=[
            f"{said_count} words in {len(kind.recordings)} recordings; "
            f"heard: {' '.join(ours)[:300]} ..."
        ],
    )
