"""How far pictures and texts are unwanted, by the classifiers that know the categories."""

import json
from collections.abc import Awaitable, Callable, Sequence

from services.encode.engines import Engines
from services.encode.keys import payload_key
from services.encode.segments import (
    PICTURES,
    EncodeOptions,
    Finding,
    Scores,
    Segment,
    SegmentKind,
    Task,
)
from services.runtime.batching import Meter
from services.runtime.cache import TTL_S, ResultCache
from services.runtime.moderation import PICTURE_CATEGORIES, TEXT_CATEGORIES


class Moderator:
    """Judges segments. A classifier is loaded when something is first judged by it."""

    def __init__(self, engines: Engines, cache: ResultCache) -> None:
        self._engines = engines
        self._cache = cache

    async def judge(
        self, segment: Segment, found: Sequence[Finding], options: EncodeOptions, meter: Meter
    ) -> tuple[Scores, bool]:
        """The scores of a segment, and of the words ``found`` in it, in the wanted categories;
        and whether all were cached. Raises SensoriumError as a back end does.
        """
        wanted = options.moderation_categories
        judged: list[tuple[Scores, bool]] = []
        if segment.kind in PICTURES and wanted.intersection(PICTURE_CATEGORIES):
            judged.append(await self._picture(segment, options, meter))
        words = _words(segment, found)
        if words.strip() and wanted.intersection(TEXT_CATEGORIES):
            judged.append(await self._text(words, options, meter))
        scores = {
            category: score
            for of_one, _ in judged
            for category, score in sorted(of_one.items())
            if category in wanted
        }
        return scores, all(cached for _, cached in judged)

    async def _picture(
        self, segment: Segment, options: EncodeOptions, meter: Meter
    ) -> tuple[Scores, bool]:
        engine = await self._engines.picture_moderator.get()

        async def compute() -> Scores:
            return await engine.run(segment.payload, bulk=options.bulk, meter=meter)

        transform = ("moderate-1", engine.description.identity)
        key = await payload_key(options.tenant, segment.payload, transform)
        return await self._cached(key, compute, TTL_S[segment.modality])

    async def _text(self, words: str, options: EncodeOptions, meter: Meter) -> tuple[Scores, bool]:
        engine = await self._engines.text_moderator.get()

        async def compute() -> Scores:
            return await engine.run(words, bulk=options.bulk, meter=meter)

        transform = ("moderate-1", engine.description.identity)
        key = await payload_key(options.tenant, words.encode(), transform)
        return await self._cached(key, compute, TTL_S["text"])

    async def _cached(
        self, key: str, compute: Callable[[], Awaitable[Scores]], ttl_s: int
    ) -> tuple[Scores, bool]:
        async def packed() -> bytes:
            return json.dumps(dict(await compute())).encode()

        data, cached = await self._cache.get_or_compute(key, packed, ttl_s)
        scores: Scores = json.loads(data)
        return scores, cached


def _words(segment: Segment, found: Sequence[Finding]) -> str:
    """What a segment says: its text, the words heard in it, the writing read in it."""
    if segment.kind is SegmentKind.TEXT_PASSAGE:
        return segment.payload.decode()
    return "\n".join(
        finding.text for finding in found if finding.task in (Task.OCR, Task.TRANSCRIBE)
    )
