"""What is heard, through the whole platform: words where somebody speaks, and nowhere else.

By its name the last of its folder: what is stored here says what the recording of test_walk
says, and would be found in its place.
"""

from collections.abc import Awaitable, Callable
from difflib import SequenceMatcher
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
    """The transcripts of a conversation about a file, as they come."""
    options = AskOptions(max_tokens=4, reuse_stored=False, word_times=True)
    stream = client.ask("What is said?", [path], options=options)
    return [event async for event in stream if isinstance(event, events.Transcript)]


async def heard_stored(client: Client, path: Path) -> list[events.Transcript]:
    """The transcript of a stored file."""
    return [line async for line in client.transcribe(path, word_times=True)]


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


@pytest.mark.parametrize("hear", [heard_stored, heard_live])
async def test_a_word_is_where_it_was_said(client: Client, tmp_path: Path, hear: Hear) -> None:
    gap = np.zeros(round(2.3 * SAMPLE_RATE_HZ), np.int16)
    path = tmp_path / "twice.wav"
    path.write_bytes(media.wav(np.concatenate([SPEECH, gap, SPEECH])))
    offset_s = SPEECH_S + 2.3
    heard = await hear(client, path)
    for line in heard:
        times = [time_s for word in line.words for time_s in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert line.span.start_s <= times[0]
        assert times[-1] <= line.span.end_s <= offset_s + SPEECH_S
    said = [word for line in heard for word in line.words]
    assert [word.start_s for word in said] == sorted(word.start_s for word in said)
    first = [word for word in said if word.end_s < offset_s]
    second = said[len(first) :]
    # A window may end within a word, which is misheard then.
    texts = [[word.text for word in copy] for copy in (first, second)]
    same = SequenceMatcher(a=texts[0], b=texts[1], autojunk=False).get_matching_blocks()
    pairs = [
        (first[block.a + index], second[block.b + index])
        for block in same
        for index in range(block.size)
    ]
    assert len(pairs) >= 0.8 * len(first)
    off_s = sorted(
        abs(again_s - offset_s - time_s)
        for word, again in pairs
        for time_s, again_s in ((word.start_s, again.start_s), (word.end_s, again.end_s))
    )
    # Where a word begins that follows a breath is whisper's guess: one of 50 times is 0.27 s off.
    assert off_s[round(0.95 * len(off_s)) - 1] <= 0.2
    assert off_s[-1] <= 0.3
