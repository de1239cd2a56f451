"""What is heard, through the whole platform: words where somebody speaks, and nowhere else."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from sensorium_client import Client, events
from sensorium_client.options import AskOptions
from sensorium_client.samples import SPEECH_TEXT

from tests import media
from tests.bench.benchmarks.speech import word_error_rate, words
from tests.media import SAMPLE_RATE_HZ
from tests.unit.encode.real import spoken_samples

Hear = Callable[[Client, Path], Awaitable[list[events.Transcript]]]

SPEECH = np.frombuffer(spoken_samples(), "<i2")
SPEECH_S = len(SPEECH) / SAMPLE_RATE_HZ


async def heard_live(client: Client, path: Path) -> list[events.Transcript]:
    """The transcripts of a conversation about a file."""
    options = AskOptions(max_tokens=4, reuse_stored=False)
    stream = client.ask("What is said?", [path], options=options)
    return [event async for event in stream if isinstance(event, events.Transcript)]


async def heard_stored(client: Client, path: Path) -> list[events.Transcript]:
    """The transcript of a stored file."""
    return [line async for line in client.transcribe(path)]


@pytest.mark.parametrize("hear", [heard_stored, heard_live])
async def test_noise_and_music_about_speech_say_nothing(
    client: Client, tmp_path: Path, hear: Hear
) -> None:
    before, after = media.noise(60, 5000), media.music(20)
    path = tmp_path / "amid.wav"
    path.write_bytes(media.wav(np.concatenate([before, SPEECH, after])))
    heard = await hear(client, path)
    # "light house" and a "Captain," cut from "famous" may be misheard; nothing is added.
    said = " ".join(line.text for line in heard)
    assert word_error_rate(words(SPEECH_TEXT), words(said)) < 0.15
    for line in heard:
        assert line.span.start_s >= 60 - 0.5
        assert line.span.end_s <= 60 + SPEECH_S + 0.5
