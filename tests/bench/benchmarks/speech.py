"""Word error rate on speech of known text, beside faster-whisper called directly on the file."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from sensorium_client import Client

from services.encode.engines import ModelChoice
from services.runtime.models import resolve
from services.runtime.settings import load_settings
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

# Voice and words a minute, as espeak-ng takes them.
VOICES = (("en-us", 130), ("en-us+f3", 150), ("en-gb", 175))
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


async def run(plan: Plan) -> list[Row]:
    """Each voice once: there is nothing random in it."""
    if shutil.which("espeak-ng") is None:
        plan.say("left out: install Debian's espeak-ng")
        return []
    rows: list[Row] = []
    async with serving(plan.folder) as server, Client(server.address) as client:
        for voice, words_a_minute in VOICES:
            path = plan.folder / f"{voice}-{words_a_minute}.wav"
            _speak(path, voice, words_a_minute)
            ours = " ".join([line.text async for line in client.transcribe(path)])
            theirs = await asyncio.to_thread(_directly, path)
            rows.append(_row(f"{voice}, {words_a_minute} words a minute", ours, theirs))
            plan.say(f"{voice}: {rows[-1].measured}, directly {rows[-1].against}")
    return rows


def _speak(path: Path, voice: str, words_a_minute: int) -> None:
    subprocess.run(
        ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "-g", "4", "-w", str(path), TEXT],
        check=True,
    )


def _directly(path: Path) -> str:
    """As its users call it: the same model and precision, its own defaults, silence cut."""
    from faster_whisper import WhisperModel

    folder = resolve(ModelChoice().speech_english, load_settings().cache_dir).folder
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)
    segments, _ = model.transcribe(str(path), language="en", vad_filter=True)
    return " ".join(segment.text for segment in segments)


def words(text: str) -> list[str]:
    """The words without case and punctuation."""
    return re.findall(r"[a-z']+", text.lower())


def word_error_rate(said: Sequence[str], heard: Sequence[str]) -> float:
    """Words wrong, missing or invented (Levenshtein, 1966), as a part of those said."""
    row = list(range(len(heard) + 1))
    for i, one in enumerate(said, 1):
        above, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (one != other))
    return row[-1] / len(said)


def _row(voice: str, ours: str, theirs: str) -> Row:
    said = words(TEXT)
    our_rate = word_error_rate(said, words(ours))
    their_rate = word_error_rate(said, words(theirs))
    return Row(
        name=f"word error rate: {voice}",
        measured=f"{our_rate:.3f}",
        against=f"faster-whisper directly: {their_rate:.3f}",
        target="no worse",
        met=our_rate <= their_rate,
        notes=[f"{len(said)} words spoken by espeak-ng; heard: {ours[:300]} ..."],
    )
