"""How far pictures and texts are unwanted, by the classifiers that know the categories."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.encode.engines import Engines
from services.encode.keys import owner_of, payload_key
from services.encode.moderators import ModerationEngine
from services.encode.segments import (
    PICTURES,
    EncodeOptions,
    Finding,
    Modality,
    Scores,
    Segment,
    SegmentKind,
    Task,
)
from services.runtime.batching import Meter
from services.runtime.cache import TTL_S, ResultCache


@dataclass(frozen=True, slots=True)
class _Judged:
    """A picture or a text, and whose it is."""

    raw: bytes | str
    modality: Modality
    owner: str


class Moderator:
    """Judges segments. Only classifiers of a wanted category run."""

    def __init__(self, engines: Engines, cache: ResultCache) -> None:
        self._engines = engines
        self._cache = cache

    async def judge(
        self, segment: Segment, found: Sequence[Finding], options: EncodeOptions, meter: Meter
    ) -> tuple[Scores, bool]:
        """The scores of a segment, and of the words ``found`` in it, in the wanted categories;
        and whether all were cached. Raises SensoriumError as a back end does.

        Utterances are judged one by one and the worst counts: in a long window harmless words
        would hide the others.
        """
        moderators = self._engines.moderators
        owner = owner_of(options.tenant, segment.asset_id)
        due: list[tuple[ModerationEngine, _Judged]] = []
        if segment.kind in PICTURES:
            picture = _Judged(segment.payload, segment.modality, owner)
            due += [(each, picture) for each in moderators.pictures]
        for words in _texts(segment, found):
            due += [(each, _Judged(words, "text", owner)) for each in moderators.texts]
        scores: dict[str, float] = {}
        all_cached = True
        for moderator, judged in due:
            if asked := options.moderation_categories & moderator.categories:
                of_all, cached = await self._scores(moderator, judged, options, meter)
                scores |= {each: max(of_all[each], scores.get(each, 0.0)) for each in asked}
                all_cached = all_cached and cached
        return dict(sorted(scores.items())), all_cached

    async def _scores(
        self,
        moderator: ModerationEngine,
        judged: _Judged,
        options: EncodeOptions,
        meter: Meter,
    ) -> tuple[Scores, bool]:
        """All that a classifier says of a picture or a text, and whether it was cached."""
        engine = await moderator.engine.get()

        async def compute() -> bytes:
            computed = await engine.run(judged.raw, priority=options.priority, meter=meter)
            return json.dumps(dict(computed)).encode()

        raw = judged.raw
        payload = raw.encode() if isinstance(raw, str) else raw
        transform = ("moderate-1", engine.description.identity)
        key = await payload_key(options.tenant, payload, transform)
        data, cached = await self._cache.get_or_compute(
            key, compute, TTL_S[judged.modality], judged.owner
        )
        scores: Scores = json.loads(data)
        return scores, cached


def _texts(segment: Segment, found: Sequence[Finding]) -> list[str]:
    """What a segment says: its text; each utterance heard in it; the writing read in it."""
    if segment.kind is SegmentKind.TEXT_PASSAGE:
        texts = [segment.payload.decode()]
    else:
        texts = [each.text for each in found if each.task is Task.TRANSCRIBE]
        texts.append("\n".join(each.text for each in found if each.task is Task.OCR))
    return [text for text in texts if text.strip()]
