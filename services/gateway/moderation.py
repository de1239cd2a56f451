"""The tenant's policy at work: what comes in and what goes out is scored, judged, and told."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2, moderation_pb2

from services.gateway.catalogue import find_assets_by_id
from services.gateway.ledger import AssetEntry
from services.gateway.perception import SEGMENT_CHARACTERS_MAX, encode_config
from services.gateway.policy import Action, Policy, Rule, Verdict, blocks, judge, watched
from services.gateway.stages import Stages
from services.runtime.calls import CallScope, call_unary
from services.runtime.errors import InternalFailure, InvalidInput, Unavailable
from services.runtime.moderation import PICTURE_CATEGORIES, TEXT_CATEGORIES
from services.runtime.status import from_item_error
from services.runtime.telemetry import metrics

ACTIONS = {
    Action.FLAG: gateway_pb2.MODERATION_ACTION_FLAG,
    Action.BLOCK: gateway_pb2.MODERATION_ACTION_BLOCK,
}
PARTS = {
    gateway_pb2.MODERATED_PART_QUESTION: "question",
    gateway_pb2.MODERATED_PART_ASSET: "asset",
    gateway_pb2.MODERATED_PART_ANSWER: "answer",
}

NOT_JUDGED_RETRY_S = 5.0
"""When an asset that is still to be judged may be asked about again."""

Tell = Callable[[gateway_pb2.Moderation], Awaitable[None]]


async def tell_nobody(_: gateway_pb2.Moderation) -> None:
    """For work that no client waits for."""


class Moderation:
    """Judges the parts of one turn, upload, query or index job. Costs nothing where no rule
    asks."""

    def __init__(self, stages: Stages, scope: CallScope, policy: Policy, tell: Tell) -> None:
        self._stages = stages
        self._scope = scope
        self._policy = policy
        self._tell = tell
        self._judged: set[str] = set()
        self._told: set[tuple[str, str]] = set()

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in which encode shall score media."""
        return watched(self._policy.input)

    @property
    def holds_answers(self) -> bool:
        """Whether answers are judged before they are shown."""
        return bool(watched(self._policy.output))

    @property
    def holds_words(self) -> bool:
        """Whether words that are heard are judged before they are shown."""
        return blocks(self._policy.input, TEXT_CATEGORIES)

    @property
    def judges_words(self) -> bool:
        """Whether anything is done about words that are heard."""
        return not set(self.categories).isdisjoint(TEXT_CATEGORIES)

    @property
    def blocks_media(self) -> bool:
        """Whether any asset may be kept out of answers."""
        return blocks(self._policy.input)

    @property
    def blocks_pictures(self) -> bool:
        """Whether every part of a picture must be judged before an answer rests on it."""
        return blocks(self._policy.input, PICTURE_CATEGORIES)

    async def question(self, text: str) -> None:
        """Judge a question. Raises InvalidInput CONTENT_BLOCKED."""
        await self._admit_text(text, "the question", "text")

    async def query(self, text: str, field: str) -> None:
        """Judge the words of a search, which stand in a field of it. Raises InvalidInput
        CONTENT_BLOCKED."""
        await self._admit_text(text, "the query", field)

    async def _admit_text(self, text: str, name: str, field: str) -> None:
        verdicts = await self._judge_text(self._policy.input, text)
        for verdict in verdicts:
            await self._notify(verdict, part=gateway_pb2.MODERATED_PART_QUESTION)
        if blocked := _blocking(verdicts):
            raise _content_blocked(blocked, name, field)

    async def allows(self, sentence: str) -> bool:
        """Whether a sentence of an answer may be shown."""
        verdicts = await self._judge_text(self._policy.output, sentence)
        for verdict in verdicts:
            await self._notify(verdict, part=gateway_pb2.MODERATED_PART_ANSWER)
        return _blocking(verdicts) is None

    async def media(
        self, entry_of: Callable[[str], AssetEntry], event: encode_pb2.StreamingEncodeResponse
    ) -> None:
        """Judge what encode tells of media, by the id of its segment. How it scores is noted in
        the asset's entry, which is marked if it is blocked, and judged no further.

        Raises:
            InvalidInput: CONTENT_BLOCKED.
            InternalFailure: CONTENT_NOT_JUDGED, where a rule that blocks could not be applied.
        """
        kind = event.WhichOneof("event")
        if kind not in ("moderation", "segment_complete") or not self.categories:
            return
        segment_id = getattr(event, kind).segment_id
        entry = entry_of(segment_id)
        if entry.blocked:
            return
        if kind == "moderation":
            self._judged.add(segment_id)
            await self._judge_segment(entry, event.moderation)
        elif segment_id in self._judged:
            # A picture that is read later is judged anew, with its writing.
            self._judged.discard(segment_id)
        else:
            entry.unjudged = True
            if not self.blocks_media:
                return
            entry.blocked = InternalFailure(
                "CONTENT_NOT_JUDGED",
                f"The moderation policy could not be applied to {_name(entry.info)}.",
                subject=entry.info.asset_id,
            )
            raise entry.blocked

    def forbids(self, asset: media_pb2.Asset) -> bool:
        """Whether the policy, as it is now, blocks what was found in a stored asset."""
        return _blocking(self._judge_stored(asset)) is not None

    def withholds(self, asset: media_pb2.Asset) -> bool:
        """Whether an indexed asset was not judged yet in a category in which the policy, as it is
        now, blocks."""
        return asset.indexed and blocks(self._policy.input, self.due(asset))

    def hides(self, asset: media_pb2.Asset) -> bool:
        """Whether a stored asset is not to be found: none is that may have to be blocked."""
        return self.forbids(asset) or self.withholds(asset)

    def due(self, asset: media_pb2.Asset) -> list[str]:
        """The categories that rules name by now and in which a stored asset was not judged."""
        judged = {each.score.category for each in asset.moderation_scores}
        return [category for category in self.categories if category not in judged]

    def stands(self, asset: media_pb2.Asset) -> bool:
        """Whether what is kept with an indexed asset is what the policy makes of it now."""
        found = self.findings(asset.moderation_scores)
        return not self.due(asset) and list(asset.moderation_findings) == found

    def findings(
        self, scores: Iterable[media_pb2.ModerationFinding]
    ) -> list[media_pb2.ModerationFinding]:
        """Of the scores of an asset those that the rules flag or block, in alphabetical order."""
        places = {each.score.category: each for each in scores}
        verdicts = judge(
            self._policy.input, {name: each.score.score for name, each in places.items()}
        )
        return [
            media_pb2.ModerationFinding(
                score=_score(verdict),
                locator=places[verdict.category].locator,
                blocked=verdict.action is Action.BLOCK,
            )
            for verdict in sorted(verdicts, key=lambda verdict: verdict.category)
        ]

    async def first_admitted(
        self, asset_ids: Sequence[str], count: int
    ) -> dict[str, media_pb2.Asset]:
        """Of stored assets the first ``count`` that the policy, as it is now, does not block, by
        id in the same order. Those that were deleted are left out."""
        admitted: dict[str, media_pb2.Asset] = {}
        start = 0
        while start < len(asset_ids) and len(admitted) < count:
            part = asset_ids[start : start + count - len(admitted)]
            assets = await find_assets_by_id(self._stages, self._scope, part)
            admitted |= {
                each: assets[each]
                for each in part
                if each in assets and not self.hides(assets[each])
            }
            start += len(part)
        return admitted

    async def stored(self, asset: media_pb2.Asset) -> None:
        """Tell what was found in a stored asset. Raises as ``admit``."""
        places = {found.score.category: found.locator for found in _found(asset)}
        verdicts = self._judge_stored(asset)
        for verdict in verdicts:
            await self._notify(
                verdict,
                part=gateway_pb2.MODERATED_PART_ASSET,
                asset_id=asset.asset_id,
                locator=places[verdict.category],
            )
        self.admit(asset)

    def admit(self, asset: media_pb2.Asset) -> None:
        """Raises InvalidInput CONTENT_BLOCKED where the policy, as it is now, blocks what was
        found in a stored asset."""
        if blocked := _blocking(self._judge_stored(asset)):
            raise _content_blocked(blocked, _name(asset.info), asset.asset_id)

    def admit_example(self, asset: media_pb2.Asset) -> None:
        """Raises as ``admit`` for a stored asset whose like is looked for, and Unavailable
        CONTENT_NOT_JUDGED for one that is withheld."""
        self.admit(asset)
        if self.withholds(asset):
            raise Unavailable(
                "CONTENT_NOT_JUDGED",
                f"{_name(asset.info)} is still to be judged by the moderation policy; "
                "try again later.",
                subject=asset.asset_id,
                retry_after_s=NOT_JUDGED_RETRY_S,
            )

    def _judge_stored(self, asset: media_pb2.Asset) -> list[Verdict]:
        found = {each.score.category: each.score.score for each in _found(asset)}
        return judge(self._policy.input, found)

    async def _judge_segment(
        self, entry: AssetEntry, moderation: encode_pb2.SegmentModeration
    ) -> None:
        verdicts = judge(self._policy.input, highest([moderation]))
        locator = entry.segments[moderation.segment_id].locator
        entry.note_moderation(moderation)
        for verdict in verdicts:
            told = (moderation.segment_id, verdict.category)
            if told not in self._told:
                self._told.add(told)
                await self._notify(
                    verdict,
                    part=gateway_pb2.MODERATED_PART_ASSET,
                    asset_id=entry.info.asset_id,
                    locator=locator,
                )
        if blocked := _blocking(verdicts):
            entry.blocked = _content_blocked(blocked, _name(entry.info), entry.info.asset_id)
            raise entry.blocked

    async def _judge_text(self, rules: Mapping[str, Rule], text: str) -> list[Verdict]:
        categories = watched(rules)
        if not categories or not text.strip():
            return []
        segments = [
            media_pb2.MediaSegment(
                segment_id=f"text/text/{index}",
                asset_id="text",
                kind=media_pb2.SEGMENT_KIND_TEXT_PASSAGE,
                text=piece,
            )
            for index, piece in enumerate(pieces(text))
        ]
        request = encode_pb2.EncodeRequest(
            config=encode_config((), moderated=categories), segments=segments
        )
        response = await call_unary(self._stages.encode.Encode, request, self._scope)
        for failed in response.item_errors:
            raise from_item_error(failed)
        return judge(rules, highest(response.moderations))

    async def _notify(
        self, verdict: Verdict, *, part: gateway_pb2.ModeratedPart.ValueType, **where: Any
    ) -> None:
        """Count a verdict and tell it."""
        attributes = {
            "part": PARTS[part],
            "category": verdict.category,
            "action": verdict.action.value,
        }
        metrics.moderations.add(1, attributes)
        notice = gateway_pb2.Moderation(
            part=part, score=_score(verdict), action=ACTIONS[verdict.action], **where
        )
        await self._tell(notice)


async def check_served(stages: Stages, categories: Sequence[str]) -> None:
    """Raises InvalidInput CATEGORY_UNKNOWN where encode has no classifier of a category: the
    server does not start with a policy that it could not apply."""
    if categories:
        request = encode_pb2.EncodeRequest(config=encode_config((), moderated=categories))
        await call_unary(stages.encode.Encode, request, CallScope())


def pieces(text: str) -> Iterator[str]:
    """A text in pieces that encode takes, cut between words."""
    while len(text) > SEGMENT_CHARACTERS_MAX:
        blank = text.rfind(" ", 0, SEGMENT_CHARACTERS_MAX)
        length = blank + 1 or SEGMENT_CHARACTERS_MAX
        yield text[:length]
        text = text[length:]
    yield text


def highest(moderations: Iterable[encode_pb2.SegmentModeration]) -> dict[str, float]:
    """The highest score of each category."""
    scores: dict[str, float] = {}
    for moderation in moderations:
        for found in moderation.result.scores:
            scores[found.category] = max(found.score, scores.get(found.category, 0.0))
    return scores


def _found(asset: media_pb2.Asset) -> list[media_pb2.ModerationFinding]:
    """What is known of a stored asset; of two of a category the last counts. One that is blocked
    was not judged in all its parts: it has findings and no scores."""
    return [*asset.moderation_findings, *asset.moderation_scores]


def _blocking(verdicts: list[Verdict]) -> Verdict | None:
    return verdicts[-1] if verdicts and verdicts[-1].action is Action.BLOCK else None


def _score(verdict: Verdict) -> moderation_pb2.ModerationScore:
    return moderation_pb2.ModerationScore(category=verdict.category, score=verdict.score)


def _content_blocked(verdict: Verdict, part: str, subject: str) -> InvalidInput:
    """The error of a blocked part, which names it and the category."""
    return InvalidInput(
        "CONTENT_BLOCKED",
        f"The moderation policy blocks {part}: {verdict.category} {verdict.score:.2f}.",
        subject=subject,
    )


def _name(info: media_pb2.AssetInfo) -> str:
    return info.name or info.asset_id
