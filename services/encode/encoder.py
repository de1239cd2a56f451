"""Runs the tasks on a segment, through the cache, and tells what comes of each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace

from services.encode.codec import pack, unpack
from services.encode.engines import Engines
from services.encode.keys import owner_of, payload_key
from services.encode.labels import choose_labels
from services.encode.languages import AUTO
from services.encode.moderation import Moderator
from services.encode.segments import (
    EncodeOptions,
    Finding,
    PictureToRead,
    Scores,
    Segment,
    SegmentKind,
    Speech,
    Task,
    TaskResult,
    check_sample_rate,
    tasks_for,
)
from services.encode.spoken import SpokenLanguages
from services.runtime.batching import Meter
from services.runtime.cache import TTL_S, ResultCache, cache_key
from services.runtime.errors import SensoriumError


@dataclass(slots=True)
class StreamState:
    """What a stream used, and what was learned of its media."""

    meter: Meter = field(default_factory=Meter)
    cache_hit_count: int = 0
    cache_miss_count: int = 0
    languages: SpokenLanguages = field(default_factory=SpokenLanguages)

    def count(self, *, cached: bool) -> None:
        """Count a task that is done."""
        if cached:
            self.cache_hit_count += 1
        else:
            self.cache_miss_count += 1


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task is over and came out well."""

    segment: Segment
    task: Task
    result: TaskResult
    cached: bool


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task is over and failed."""

    segment: Segment
    task: Task
    error: SensoriumError


@dataclass(frozen=True, slots=True)
class Moderated:
    """A segment is judged: the scores of the wanted categories that fit it."""

    segment: Segment
    scores: Scores
    cached: bool
    task: Task = Task.MODERATE


Outcome = TaskDone | TaskFailed | Moderated
Report = Callable[[Outcome], Awaitable[None]]
Run = Callable[[Segment, EncodeOptions, StreamState], Awaitable[tuple[TaskResult, bool]]]


class Encoder:
    """Encodes segments. One for all streams: it holds no state of any."""

    def __init__(self, engines: Engines, cache: ResultCache) -> None:
        self._engines = engines
        self._cache = cache
        self._moderator = Moderator(engines, cache)

    async def encode(
        self, segment: Segment, options: EncodeOptions, state: StreamState, report: Report
    ) -> None:
        """Runs every wanted task that fits, reporting each as it ends.

        The vector and the labels come from one forward pass, before the slow
        reading of text; last, what was found is judged. A failed task does not
        keep the others from running.
        """
        wanted = tasks_for(segment.kind, options.tasks)
        found: list[Finding] = []
        for tasks, run in self._plan(segment.kind):
            due = [task for task in tasks if task in wanted]
            if not due:
                continue
            try:
                result, cached = await run(segment, options, state)
            except SensoriumError as error:
                for task in due:
                    await report(TaskFailed(segment, task, error))
                continue
            found += [finding for finding in result.findings if finding.task in due]
            for task in due:
                state.count(cached=cached)
                await report(TaskDone(segment, task, _share(result, task), cached))
        if Task.MODERATE in wanted:
            await report(await self._moderated(segment, found, options, state))

    async def _moderated(
        self, segment: Segment, found: list[Finding], options: EncodeOptions, state: StreamState
    ) -> Outcome:
        try:
            scores, cached = await self._moderator.judge(segment, found, options, state.meter)
        except SensoriumError as error:
            return TaskFailed(segment, Task.MODERATE, error)
        state.count(cached=cached)
        return Moderated(segment, scores, cached)

    def _plan(self, kind: SegmentKind) -> tuple[tuple[tuple[Task, ...], Run], ...]:
        """What runs on a kind of segment, in order, and the tasks that each run answers."""
        if kind is SegmentKind.TEXT_PASSAGE:
            return (((Task.EMBED,), self._passage),)
        if kind is SegmentKind.AUDIO_WINDOW:
            return (((Task.TRANSCRIBE,), self._transcript),)
        return (((Task.EMBED, Task.LABEL), self._recognition), ((Task.OCR,), self._reading))

    async def _passage(
        self, segment: Segment, options: EncodeOptions, state: StreamState
    ) -> tuple[TaskResult, bool]:
        text = segment.payload.decode()
        vector, cached = await self._text_vector(text, segment, options, state)
        finding = Finding(Task.EMBED, text, 1.0, vector)
        return TaskResult(vector, (finding,)), cached

    async def _recognition(
        self, segment: Segment, options: EncodeOptions, state: StreamState
    ) -> tuple[TaskResult, bool]:
        """The vector and the labels at once: they come from the same forward pass."""
        engines = self._engines

        async def compute() -> bytes:
            seen = await engines.classifier.run(
                segment.payload, priority=options.priority, meter=state.meter
            )
            findings = [
                Finding(Task.LABEL, label.text, label.confidence)
                for label in choose_labels(seen.probabilities, engines.vocabulary)
            ]
            vector = engines.space.picture(seen)
            described = await self._with_vectors(findings, segment, options, state)
            return pack(TaskResult(vector.tobytes(), described))

        models = (engines.classifier.description.identity, engines.text.description.identity)
        identity = ("recognise-4", *models)
        return await self._cached(segment, options, identity, compute)

    async def _reading(
        self, segment: Segment, options: EncodeOptions, state: StreamState
    ) -> tuple[TaskResult, bool]:
        engines = self._engines

        async def compute() -> bytes:
            picture = PictureToRead(segment.payload, segment.tiled)
            page = await engines.ocr.run(picture, priority=options.priority, meter=state.meter)
            findings = [
                Finding(Task.OCR, line.text, line.confidence, box=line.box) for line in page.lines
            ]
            described = await self._with_vectors(findings, segment, options, state)
            return pack(TaskResult(b"", described, page.width_px, page.height_px))

        identity = (engines.ocr.description.identity, engines.text.description.identity)
        extent = "large print" if segment.tiled else "all"
        return await self._cached(segment, options, ("read-3", extent, *identity), compute)

    async def _transcript(
        self, segment: Segment, options: EncodeOptions, state: StreamState
    ) -> tuple[TaskResult, bool]:
        check_sample_rate(segment)
        if options.language != AUTO:
            return await self._utterances(segment, options, state, options.language)
        spoken = state.languages.of(segment.asset_id)
        if not spoken.code:
            async with spoken.turn:
                if not spoken.code:
                    result, cached = await self._utterances(segment, options, state, AUTO)
                    if result.findings:
                        spoken.code = result.findings[0].language
                    return result, cached
        return await self._utterances(segment, options, state, spoken.code)

    async def _utterances(
        self, segment: Segment, options: EncodeOptions, state: StreamState, language: str
    ) -> tuple[TaskResult, bool]:
        # Not of the detected language: an asset is heard by one model from its start to its end.
        engine = await self._engines.speech(options.language)

        async def compute() -> bytes:
            speech = Speech(segment.payload, language, options.word_times)
            try:
                utterances = await engine.run(speech, priority=options.priority, meter=state.meter)
            finally:
                # Stops the worker if this is a cancellation; means nothing otherwise.
                speech.cancelled.set()
            findings = [
                Finding(
                    Task.TRANSCRIBE,
                    said.text,
                    said.confidence,
                    start_s=said.start_s,
                    end_s=said.end_s,
                    language=said.language,
                    words=said.words,
                )
                for said in utterances
            ]
            return pack(
                TaskResult(b"", await self._with_vectors(findings, segment, options, state))
            )

        identity = (engine.description.identity, self._engines.text.description.identity)
        transform = ("transcribe-3", language, str(options.word_times), *identity)
        return await self._cached(segment, options, transform, compute)

    async def _with_vectors(
        self, findings: list[Finding], segment: Segment, options: EncodeOptions, state: StreamState
    ) -> tuple[Finding, ...]:
        vectors = await asyncio.gather(
            *(self._text_vector(finding.text, segment, options, state) for finding in findings)
        )
        return tuple(
            replace(finding, vector=vector)
            for finding, (vector, _) in zip(findings, vectors, strict=True)
        )

    async def _text_vector(
        self, text: str, segment: Segment, options: EncodeOptions, state: StreamState
    ) -> tuple[bytes, bool]:
        """The vector of a text as float32 little-endian, and whether it was cached."""
        engine = self._engines.text

        async def compute() -> bytes:
            vector = await engine.run(text, priority=options.priority, meter=state.meter)
            return vector.astype("<f4", copy=False).tobytes()

        key = cache_key(options.tenant, text, "text-1", engine.description.identity)
        owner = owner_of(options.tenant, segment.asset_id)
        return await self._cache.get_or_compute(key, compute, TTL_S["text"], owner)

    async def _cached(
        self,
        segment: Segment,
        options: EncodeOptions,
        transform: tuple[str, ...],
        compute: Callable[[], Awaitable[bytes]],
    ) -> tuple[TaskResult, bool]:
        key = await payload_key(options.tenant, segment.payload, transform)
        owner = owner_of(options.tenant, segment.asset_id)
        packed, cached = await self._cache.get_or_compute(
            key, compute, TTL_S[segment.modality], owner
        )
        return unpack(packed), cached

    async def forget(self, tenant: str, asset_ids: Iterable[str]) -> None:
        """Drop the cached results of deleted assets."""
        for asset_id in asset_ids:
            await self._cache.forget(owner_of(tenant, asset_id))


def _share(result: TaskResult, task: Task) -> TaskResult:
    """The part of a result that answers a task."""
    return replace(
        result,
        vector=result.vector if task is Task.EMBED else b"",
        findings=tuple(finding for finding in result.findings if finding.task is task),
    )
