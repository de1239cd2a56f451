"""Speech to text: whisper (Radford et al., 2022) by CTranslate2, silence cut by Silero VAD."""

import contextlib
import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment
from faster_whisper.vad import VadOptions, get_speech_timestamps
from numpy.typing import NDArray

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.languages import AUTO
from services.encode.segments import (
    SAMPLE_RATE_HZ,
    Speech,
    SpokenWord,
    Utterance,
    in_order,
    within_voice,
)
from services.runtime.errors import InvalidInput
from services.runtime.models import ResolvedModel, resolve

# A shorter burst that the voice detector takes for speech is none: short words last 130 ms.
_VOICE = VadOptions(min_speech_duration_ms=100)
# For word times: whisper begins the first word where the sound that it is given begins.
_VOICE_EXACTLY = VadOptions(min_silence_duration_ms=100, speech_pad_ms=0)
# What whisper invents for a beat or for noise is called silence by itself, at 0.74 and above, and
# either improbable ("You", -0.83 and below) or a loop ("I'm sorry, I'm sorry, ...", compressed 20
# times). Speech in noise of 5 dB more than itself stays at 0.64.
_NO_SPEECH_MIN = 0.7
_LOG_PROBABILITY_MIN = -0.8
_COMPRESSION_RATIO_MAX = 2.4
# Auctioneers say 35. Of the last 0.3 s of a breath whisper makes 800 characters, all of one loop,
# and is sure of them (-0.19, and 0.68 for silence).
_CHARACTERS_A_SECOND_MAX = 60
# Twice what a fast speaker says in the longest window; a loop would take seconds.
_DRAFT_TOKENS_MAX = 160
# What the voice detector cuts out beyond this may lie within a segment as whisper places it: what
# it is given has no gap there, so a sentence after a song begins before the song.
_CUT_OUT_MAX_S = 0.5
_LOWEST_PRIORITY = 19
# A word that fills its recording is misheard, or not heard at all. Words misheard in captions of
# a word or two: 18 of 37 with as much silence around as the voice detector leaves where there is
# some, 28 without; of those not tuned on, 18 and 22 of 32. What is longer gains nothing: 197 of
# 2,412 words are misheard, 191 without.
_FRAMED_MAX_SAMPLES = 2 * SAMPLE_RATE_HZ
_FRAME_SAMPLES = round(0.4 * SAMPLE_RATE_HZ)


@dataclass(frozen=True, slots=True)
class PreparedSpeech:
    """Samples as float32 of shape (samples,), -1 to 1, with what was asked."""

    samples: NDArray[np.float32]
    request: Speech


class Whisper:
    """Speech to utterances. One recording a batch; workers run side by side, but no two drafts."""

    def __init__(self, model: ResolvedModel, options: LoadOptions) -> None:
        self._folder = str(model.folder)
        self._model = WhisperModel(
            self._folder,
            device="cpu",
            compute_type="int8",
            num_workers=options.cpu_threads,
            # A window of a live recording comes alone: all threads on it halve what its
            # listener waits. Two at once share the cores, because waiting threads sleep.
            cpu_threads=options.cpu_threads,
            local_files_only=True,
        )
        # With a single worker a window would wait for a draft, and that for everybody else.
        self._drafter = self._model if options.cpu_threads == 1 else None
        # It would log every recording.
        self._model.logger.setLevel("WARNING")
        self._description = ModelDescription(model.ref, "ctranslate2-int8", model.sha256)
        self._warm_up()

    @classmethod
    def load(cls, ref: str, options: LoadOptions) -> "Whisper":
        """Resolves, joins and loads the model. Blocks."""
        resolve("wheel:silero-vad", options.cache_dir)
        return cls(resolve(ref, options.cache_dir), options)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: Speech) -> PreparedSpeech:
        """Converts samples.

        Raises:
            InvalidInput: AUDIO_MALFORMED, where half a sample is missing.
        """
        if len(raw.samples) % 2:
            raise InvalidInput(
                "AUDIO_MALFORMED", "16-bit samples come in whole pairs of bytes.", subject="audio"
            )
        samples = np.frombuffer(raw.samples, "<i2").astype(np.float32) / np.float32(32768)
        return PreparedSpeech(samples, raw)

    def forward(self, batch: Sequence[PreparedSpeech]) -> list[list[Utterance]]:
        """The utterances of each recording; cut short where nobody waits any more."""
        return [self._transcribe(item) for item in batch]

    def finish(self, output: list[Utterance]) -> tuple[Utterance, ...]:
        """The utterances, as they cannot be changed any more."""
        return tuple(output)

    def _transcribe(self, item: PreparedSpeech) -> list[Utterance]:
        request = item.request
        if not len(item.samples) or request.cancelled.is_set():
            return []
        if request.language == AUTO and not get_speech_timestamps(item.samples, _VOICE):
            # The language of silence would be looked for all the same.
            return []
        model = self._model_of_drafts() if request.draft else self._model
        is_short = len(item.samples) < _FRAMED_MAX_SAMPLES
        samples = np.pad(item.samples, _FRAME_SAMPLES) if is_short else item.samples
        segments, info = model.transcribe(
            samples,
            language=None if request.language == AUTO else request.language,
            # As usual. One beam is a third faster, and mishears 13 words of 100 where five mishear
            # 7 (three voices, cut into windows as ingest does).
            beam_size=1 if request.draft else 5,
            max_new_tokens=_DRAFT_TOKENS_MAX if request.draft else None,
            # No fallback to other temperatures: repetitive sound would cost eight times as much.
            temperature=0.0,
            condition_on_previous_text=False,
            vad_filter=True,
            vad_parameters=_VOICE,
            word_timestamps=request.word_times,
        )
        cut_out_s = info.duration - info.duration_after_vad
        is_exact = request.word_times or (cut_out_s > _CUT_OUT_MAX_S and not request.draft)
        voiced = _voiced(samples) if is_exact else ()
        utterances = []
        # The model runs as this is iterated.
        said = iter(segments)
        while not request.cancelled.is_set() and (segment := next(said, None)):
            if not is_invented(segment):
                utterance = _utterance(segment, info.language, voiced)
                utterances.append(
                    _unframed(utterance, len(item.samples)) if is_short else utterance
                )
        return utterances

    def _model_of_drafts(self) -> WhisperModel:
        """The same model again, on one thread that takes only the time that others leave."""
        if self._drafter is None:
            with ThreadPoolExecutor(1) as thread:
                self._drafter = thread.submit(self._load_yielding).result()
            self._drafter.logger.setLevel("WARNING")
        return self._drafter

    def _load_yielding(self) -> WhisperModel:
        # The threads of the model inherit this on Linux; elsewhere threads have no such thing.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        return WhisperModel(
            self._folder, device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
        )

    def _warm_up(self) -> None:
        # Noise, since silence would never get past the voice detector.
        noise = np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE_HZ).astype(np.float32)
        segments, _ = self._model.transcribe(
            noise, language="en", beam_size=1, temperature=0.0, max_new_tokens=4
        )
        list(segments)


def _voiced(samples: NDArray[np.float32]) -> list[tuple[float, float]]:
    """Where a voice is, in seconds."""
    return [
        (stretch["start"] / SAMPLE_RATE_HZ, stretch["end"] / SAMPLE_RATE_HZ)
        for stretch in get_speech_timestamps(samples, _VOICE_EXACTLY)
    ]


def _utterance(segment: Segment, language: str, voiced: Sequence[tuple[float, float]]) -> Utterance:
    start_s = float(segment.start)
    utterance = Utterance(
        text=segment.text.strip(),
        language=language,
        start_s=start_s,
        end_s=max(float(segment.end), start_s),
        confidence=min(math.exp(segment.avg_logprob), 1.0),
        words=(),
    )
    utterance = within_voice(utterance, voiced)
    words = (
        within_voice(
            SpokenWord(
                word.word.strip(),
                float(word.start),
                float(word.end),
                min(max(float(word.probability), 0.0), 1.0),
            ),
            voiced,
        )
        for word in segment.words or ()
    )
    return replace(utterance, words=in_order(words, utterance.start_s, utterance.end_s))


def _unframed(utterance: Utterance, sample_count: int) -> Utterance:
    """An utterance with the times of a recording of so many samples, without the frame."""

    def recorded_s(framed_s: float) -> float:
        at_s = framed_s - _FRAME_SAMPLES / SAMPLE_RATE_HZ
        return min(max(at_s, 0.0), sample_count / SAMPLE_RATE_HZ)

    return replace(
        utterance,
        start_s=recorded_s(utterance.start_s),
        end_s=recorded_s(utterance.end_s),
        words=tuple(
            replace(word, start_s=recorded_s(word.start_s), end_s=recorded_s(word.end_s))
            for word in utterance.words
        ),
    )


def is_invented(segment: Segment) -> bool:
    """Whether the words of a segment are of whisper's making.

    Nobody says so much in so short a time. The other signs are those of section 4.5 of
    the paper, whose own rule (0.6 and -1.0) faster-whisper has applied before. Names of
    sounds ("[Music]") need no rule: the brackets and notes that they are written with
    are suppressed tokens.
    """
    if not any(character.isalnum() for character in segment.text):
        return True
    seconds = max(segment.end - segment.start, 1.0)
    if len(segment.text) > _CHARACTERS_A_SECOND_MAX * seconds:
        return True
    improbable = segment.avg_logprob < _LOG_PROBABILITY_MIN
    in_a_loop = segment.compression_ratio > _COMPRESSION_RATIO_MAX
    return bool(segment.no_speech_prob > _NO_SPEECH_MIN and (improbable or in_a_loop))
