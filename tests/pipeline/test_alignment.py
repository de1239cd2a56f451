"""Questions about time over films with known events: a sentence over each of two scenes."""

from pathlib import Path

import numpy as np
import pytest
from sensorium_client import Client
from sensorium_client.samples import SPEECH_PATH

from tests.known_media import Scene, film
from tests.media import SAMPLE_RATE_HZ
from tests.pipeline.test_walk import ask
from tests.voices import Samples, samples_of

SECONDS = 7.0
SCENES = (
    Scene(SECONDS, page="CHAPTER ONE\nthe tower", said="first"),
    Scene(SECONDS, page="CHAPTER TWO\nthe summer", said="second"),
    Scene(SECONDS, page="CHAPTER THREE\nthe harbour"),
)


def sentence(which: str) -> Samples:
    """One of the two sentences of the speech sample, 16 kHz."""
    samples = samples_of(SPEECH_PATH)
    # The pause between them is the quietest 200 ms of the middle third.
    step = SAMPLE_RATE_HZ // 5
    third = len(samples) // 3
    starts = range(third, 2 * third, step // 4)
    loudness = [np.abs(samples[at : at + step].astype(np.int32)).sum() for at in starts]
    middle = starts[int(np.argmin(loudness))] + step // 2
    return samples[:middle] if which == "first" else samples[middle:]


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lesson") / "lesson.mp4"
    path.write_bytes(film(SCENES, sentence))
    return path


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cup of coffee, then Big Buck Bunny, which is 5 s long, in slow motion."""
    scenes = (
        Scene(SECONDS, picture="coffee.png", said="first"),
        Scene(SECONDS, film="bigbuckbunny.mp4", said="second"),
    )
    path = tmp_path_factory.mktemp("rabbit") / "rabbit.mp4"
    path.write_bytes(film(scenes, sentence))
    return path


@pytest.mark.parametrize(
    ("question", "words", "scene"),
    [
        ("What is on screen while the captain is mentioned?", "CHAPTER ONE", 0),
        ("What is on screen while strawberry ice cream is mentioned?", "CHAPTER TWO", 1),
        ("What is said when chapter two is on the screen?", "museum", 1),
        ("What is shown first?", "CHAPTER ONE", 0),
        ("What is written on the screen after chapter two?", "CHAPTER THREE", 2),
        ("When does chapter three appear?", "CHAPTER THREE", 2),
        ("What is on screen at 10 seconds?", "CHAPTER TWO", 1),
        ("What is on screen after 0:08?", "CHAPTER TWO", 1),
        ("What is said in the first five seconds?", "lighthouse", 0),
        ("What is said between 0:08 and 0:13?", "museum", 1),
    ],
)
async def test_the_right_moment_weighs_most_and_is_cited(
    client: Client, lesson: Path, question: str, words: str, scene: int
) -> None:
    await check_moment(client, lesson, question, words, scene)


@pytest.mark.parametrize(
    ("question", "words", "scene"),
    [
        ("What is on screen while the captain is mentioned?", "espresso", 0),
        ("What is on screen while strawberry ice cream is mentioned?", "animal", 1),
        ("What is said when the espresso appears?", "lighthouse", 0),
        ("What is said when the animal appears?", "museum", 1),
        ("What is seen at 3 seconds?", "espresso", 0),
        ("What is seen at 10 seconds?", "animal", 1),
    ],
)
async def test_the_right_moment_of_a_real_film(
    client: Client, rabbit: Path, question: str, words: str, scene: int
) -> None:
    await check_moment(client, rabbit, question, words, scene)


@pytest.mark.parametrize(
    "question",
    [
        "What is on screen while the elephant is mentioned?",
        "What is said after strawberry ice cream is mentioned?",
        "What is on screen at 5:00?",
    ],
)
async def test_what_does_not_happen_is_not_told(
    client: Client, lesson: Path, question: str
) -> None:
    seen = await ask(client, question, [lesson], reuse_stored=True)
    assert "cannot tell" in seen.text.casefold()
    assert not seen.citations


async def check_moment(client: Client, path: Path, question: str, words: str, scene: int) -> None:
    """The evidence of the scene with these words weighs most, and is cited."""
    seen = await ask(client, question, [path], reuse_stored=True)
    first = max(seen.evidence, key=lambda piece: piece.weight)
    assert words.casefold() in first.text.casefold()
    span = first.locator.span
    assert span is not None
    # Frames are looked at every two seconds or so.
    assert span.start_s >= SECONDS * scene - 0.5
    assert span.end_s <= SECONDS * (scene + 1) + 0.5
    assert any(citation.evidence.text == first.text for citation in seen.citations)
