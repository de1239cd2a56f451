"""Models that weigh nothing and speak the real contracts; scriptable, to reach every failure."""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray
from sensorium.generate.v1 import generate_pb2_grpc

from services.encode.backends.contract import ModelDescription
from services.encode.captioned import CaptionedPictures, PictureSeen
from services.encode.engine import Engine, LazyEngine
from services.encode.engines import Engines, SpeechEngine
from services.encode.joint import SPACE
from services.encode.labels import Vocabulary
from services.encode.moderators import ModerationEngine, Moderators
from services.encode.projection import KINDS_DIMENSION, JointSpace
from services.encode.segments import PictureToRead, ReadPage, Scores, Speech, Utterance
from services.encode.stage import build
from services.generate.backends.base import ChatMessage, GeneratedText, OnText, StreamResult
from services.generate.engine import Engine as GenerateEngine
from services.generate.engine import EngineLimits
from services.generate.sampling import Sampling
from services.generate.service import GenerateService
from services.generate.stage import SERVICE_NAME
from services.runtime.batching import BatchOptions
from services.runtime.server import Stage
from services.runtime.settings import Settings

_MEANING = 384
DIMENSION = _MEANING + KINDS_DIMENSION

T = TypeVar("T")
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
    """A unit vector of what a text means; texts with words in common are alike."""
    vector = np.zeros(DIMENSION, np.float32)
    for word in text.lower().split() or [""]:
        seed = int.from_bytes(hashlib.sha256(word.strip(".,?!").encode()).digest()[:8], "big")
        vector[:_MEANING] += np.random.default_rng(seed).standard_normal(_MEANING)
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
        self.classifier: FakeBackend[bytes, PictureSeen] = FakeBackend(
            "classifier", lambda _: self.seen({0: 0.9})
        )
        self.ocr: FakeBackend[PictureToRead, ReadPage] = FakeBackend(
            "ocr", lambda _: ReadPage((), 10, 10)
        )
        self.speech: FakeBackend[Speech, tuple[Utterance, ...]] = FakeBackend(
            "speech", lambda speech: (Utterance("hello", speech.language, 0.5, 1.5, 0.9, ()),)
        )

        self.nsfw: FakeBackend[bytes, Scores] = FakeBackend("nsfw", lambda _: {"sexual": 0.1})
        self.toxicity: FakeBackend[str, Scores] = FakeBackend(
            "toxicity", lambda text: {"toxic": 0.9 if "rude" in text else 0.1, "insult": 0.2}
        )

    def _space(self) -> JointSpace:
        """Every picture is likened to one, a drawing of a thing; nothing has looks."""
        captioned = CaptionedPictures(
            np.zeros((1, 0), np.float32),
            np.zeros((1, 0), np.float32),
            np.zeros(1, np.float32),
            [["thing"]],
        )
        classes = np.stack([fake_vector(name)[:_MEANING] for name in self.vocabulary.names])
        return JointSpace(classes, classes, captioned, fake_vector("thing")[None, :_MEANING])

    def _moderators(self) -> Moderators:
        pictures = LazyEngine(lambda: Engine(self.nsfw, BatchOptions("encode.moderate_picture")))
        texts = LazyEngine(lambda: Engine(self.toxicity, BatchOptions("encode.moderate_text")))
        return Moderators(
            (ModerationEngine(frozenset({"sexual"}), pictures),),
            (ModerationEngine(frozenset({"toxic", "insult"}), texts),),
        )

    def seen(self, given: dict[int, float]) -> PictureSeen:
        """A picture of these classes, which looks like no other."""
        return PictureSeen(self.probabilities(given), np.ones(1, np.float32))

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
        speech: SpeechEngine = Engine(self.speech, BatchOptions("encode.transcribe", 1, 1), threads)
        self.loaded = Engines(
            text=Engine(self.text, BatchOptions("encode.text")),
            classifier=Engine(self.classifier, BatchOptions("encode.image"), threads),
            space=self._space(),
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


class FakeLanguageModel:
    """A language model whose tokens are characters and whose answer is a function of the prompt.

    ``prompts`` are those that it answered, in order.
    """

    reference = "wheel:fake"
    slot_count = 2
    window_tokens = 16_384

    def __init__(self, answer: Callable[[str], str] = lambda _: "It is told in [1].") -> None:
        self.prompts: list[str] = []
        self.answer = answer
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def tokenize(self, texts: Sequence[str], *, special: bool, start: bool = False) -> list[int]:
        """A token for each character."""
        return [ord(character) for text in texts for character in text]

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """Each message between marks of its role."""
        said = (f"<{each.role}>{each.content}</{each.role}>" for each in messages)
        return "".join(said) + "<assistant>"

    def prefill(self, slot: int, tokens: Sequence[int]) -> None:
        """Reading takes no time."""

    def stream(
        self, slot: int, tokens: Sequence[int], sampling: Sampling, on_text: OnText
    ) -> StreamResult:
        """Answers word by word, once the gate is open."""
        prompt = "".join(map(chr, tokens))
        self.prompts.append(prompt)
        self.entered.release()
        if not self.gate.wait(30):
            raise TimeoutError("the test never opened the gate")
        words = self.answer(prompt).split(" ")
        for index, word in enumerate(words):
            if on_text(GeneratedText(" " * bool(index) + word, token_count=1)):
                break
        return StreamResult(len(words), reached_limit=False)

    @contextlib.asynccontextmanager
    async def answering(self, question: Coroutine[Any, Any, T]) -> AsyncIterator["asyncio.Task[T]"]:
        """Ask; while the block runs the model has read the question, and does not answer."""
        while self.entered.acquire(blocking=False):
            pass
        self.gate.clear()
        asked = asyncio.create_task(question)
        try:
            if not await asyncio.to_thread(self.entered.acquire, True, 30):
                raise TimeoutError("no question was read")
            yield asked
        finally:
            self.gate.set()

    def busy_slot_count(self) -> int:
        """None is ever busy for long."""
        return 0

    def close(self) -> None:
        """There is nothing to free."""

    def stage(self, settings: Settings) -> Stage:
        """The real generate stage around this model."""
        service = GenerateService(settings.answer_tokens_max)

        async def start() -> None:
            service.engine = GenerateEngine(self, EngineLimits(8, settings.question_characters_max))

        async def stop() -> None:
            if service.engine is not None:
                await service.engine.close()

        def register(server: grpc.aio.Server) -> None:
            generate_pb2_grpc.add_GenerateServiceServicer_to_server(service, server)

        return Stage("generate", SERVICE_NAME, register, start, stop)
