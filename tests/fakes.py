"""Models that weigh nothing and speak the real contracts; scriptable, to reach every failure."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.encode.backends.contract import ModelDescription
from services.encode.engine import Engine, LazyEngine
from services.encode.engines import (
    Engines,
    SpeechEngine,
)
from services.encode.labels import Vocabulary
from services.encode.moderators import ModerationEngine, Moderators
from services.encode.projection import ClassSpace
from services.encode.segments import ReadPage, Scores, Speech, Utterance
from services.encode.stage import build
from services.runtime.batching import BatchOptions
from services.runtime.server import Stage
from services.runtime.settings import Settings

DIMENSION = 384
SPACE = "minilm-l6-v2"

RawT = TypeVar("RawT")
ResultT = TypeVar("ResultT")


class FakeBackend(Generic[RawT, ResultT]):
    """A back end whose model is a function.

    Clear ``gate`` to hold every forward pass; ``entered`` is released at each.
    An item for which ``fail`` returns an exception fails with it.
    """

    def __init__(self, name: str, respond: Callable[[RawT], ResultT]) -> None:
        digest = hashlib.sha256(name.encode()).hexdigest()
        self.description = ModelDescription(f"wheel:{name}", "fake", digest, SPACE, DIMENSION)
        self.respond = respond
        self.fail: Callable[[RawT], Exception | None] = lambda _: None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[RawT]] = []

    def prepare(self, raw: RawT) -> RawT:
        """The item as it is."""
        return raw

    def forward(self, batch: Sequence[RawT]) -> list[ResultT]:
        """What the function says, once the gate is open."""
        self.batches.append(list(batch))
        self.entered.release()
        if not self.gate.wait(30):
            raise TimeoutError("the test never opened the gate")
        for item in batch:
            error = self.fail(item)
            if error is not None:
                raise error
        return [self.respond(item) for item in batch]

    def finish(self, output: ResultT) -> ResultT:
        """The result as it is."""
        return output

    async def wait_entered(self) -> None:
        """Waits until another forward pass is under way."""
        if not await asyncio.to_thread(self.entered.acquire, True, 30):
            raise TimeoutError("no forward pass began")


def fake_vector(text: str) -> NDArray[np.float32]:
    """A unit vector; texts with words in common are alike."""
    vector = np.zeros(DIMENSION, np.float32)
    for word in text.lower().split() or [""]:
        seed = int.from_bytes(hashlib.sha256(word.strip(".,?!").encode()).digest()[:8], "big")
        vector += np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


class FakeEncoder:
    """Every model of the encode stage as a fake: pictures show a cat, sound says hello."""

    def __init__(self) -> None:
        self.loaded: Engines | None = None
        self.vocabulary = Vocabulary(
            [*("tabby", "beagle", "pug"), *(f"thing {i}" for i in range(57))],
            [("cat", "animal"), ("dog", "animal"), ("dog", "animal"), *[()] * 57],
        )
        self.text: FakeBackend[str, NDArray[np.float32]] = FakeBackend("text", fake_vector)
        self.classifier: FakeBackend[bytes, NDArray[np.float32]] = FakeBackend(
            "classifier", lambda _: self.probabilities({0: 0.9})
        )
        self.ocr: FakeBackend[bytes, ReadPage] = FakeBackend("ocr", lambda _: ReadPage((), 10, 10))
        self.speech: FakeBackend[Speech, tuple[Utterance, ...]] = FakeBackend(
            "speech", lambda speech: (Utterance("hello", speech.language, 0.5, 1.5, 0.9, ()),)
        )

        self.nsfw: FakeBackend[bytes, Scores] = FakeBackend("nsfw", lambda _: {"sexual": 0.1})
        self.toxicity: FakeBackend[str, Scores] = FakeBackend(
            "toxicity", lambda text: {"toxic": 0.9 if "rude" in text else 0.1, "insult": 0.2}
        )

    def _moderators(self) -> Moderators:
        pictures = LazyEngine(lambda: Engine(self.nsfw, BatchOptions("encode.moderate_picture")))
        texts = LazyEngine(lambda: Engine(self.toxicity, BatchOptions("encode.moderate_text")))
        return Moderators(
            (ModerationEngine(frozenset({"sexual"}), pictures),),
            (ModerationEngine(frozenset({"toxic", "insult"}), texts),),
        )

    def probabilities(self, given: dict[int, float]) -> NDArray[np.float32]:
        """Class probabilities: those given, the rest shared out."""
        rest = (1 - sum(given.values())) / (len(self.vocabulary.names) - len(given))
        values = np.full(len(self.vocabulary.names), rest, np.float32)
        for index, probability in given.items():
            values[index] = probability
        return values

    async def engines(self, settings: Settings) -> Engines:
        """The fakes at work."""
        threads = ThreadPoolExecutor(2)
        phrases = [self.vocabulary.phrase(i) for i in range(len(self.vocabulary.names))]
        speech: SpeechEngine = Engine(self.speech, BatchOptions("encode.transcribe", 1, 1), threads)
        self.loaded = Engines(
            text=Engine(self.text, BatchOptions("encode.text")),
            classifier=Engine(self.classifier, BatchOptions("encode.image"), threads),
            class_space=ClassSpace(np.stack([fake_vector(phrase) for phrase in phrases])),
            vocabulary=self.vocabulary,
            ocr=Engine(self.ocr, BatchOptions("encode.ocr", 1, 1), threads),
            speech_english=speech,
            speech_multilingual=LazyEngine(lambda: speech),
            moderators=self._moderators(),
        )
        return self.loaded

    def stage(self, settings: Settings) -> Stage:
        """The real encode stage around the fakes."""
        return build(settings, self.engines)
