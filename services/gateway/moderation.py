"""The tenant's policy at work: what comes in and what goes out is scored, judged, and told."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2, moderation_pb2

from services.gateway.ledger import AssetEntry
from services.gateway.perception import encode_config
from services.gateway.policy import Action, Policy, Rule, Verdict, blocks, judge, watched
from services.gateway.stages import Stages
from services.runtime.calls import CallScope, call_unary
from services.runtime.errors import InternalFailure, InvalidInput
from services.runtime.status import from_item_error

SEGMENT_CHARACTERS_MAX = 4000
"""What encode takes of text at once."""

ACTIONS = {
    Action.FLAG: gateway_pb2.MODERATION_ACTION_FLAG,
    Action.BLOCK: gateway_pb2.MODERATION_ACTION_BLOCK,
}

Tell = Callable[[gateway_pb2.Moderation], Awaitable[None]]


async def tell_nobody(_: gateway_pb2.Moderation) -> None:
    """For work that no client waits for."""


class Moderation:
    """Judges the parts of one turn, upload or index job. Costs nothing where no rule asks."""

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

    async def question(self, text: str) -> None:
        """Judge a question. Raises InvalidInput CONTENT_BLOCKED."""
        verdicts = await self._judge_text(self._policy.input, text)
        for verdict in verdicts:
            await self._tell(_notice(verdict, part=gateway_pb2.MODERATED_PART_QUESTION))
        if blocked := _blocking(verdicts):
            raise _content_blocked(blocked, "the question", "text")

    async def allows(self, sentence: str) -> bool:
        """Whether a sentence of an answer may be shown."""
        verdicts = await self._judge_text(self._policy.output, sentence)
        for verdict in verdicts:
            await self._tell(_notice(verdict, part=gateway_pb2.MODERATED_PART_ANSWER))
        return _blocking(verdicts) is None

    async def media(
        self, entry_of: Callable[[str], AssetEntry], event: encode_pb2.StreamingEncodeResponse
    ) -> None:
        """Judge what encode tells of media, by the id of its segment. The asset's entry is
        marked if it is blocked, and judged no further.

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
        elif blocks(self._policy.input):
            entry.blocked = InternalFailure(
                "CONTENT_NOT_JUDGED",
                f"The moderation policy could not be applied to {_name(entry)}.",
                subject=entry.info.asset_id,
            )
            raise entry.blocked

    async def _judge_segment(
        self, entry: AssetEntry, moderation: encode_pb2.SegmentModeration
    ) -> None:
        verdicts = judge(self._policy.input, _highest([moderation]))
        for verdict in verdicts:
            told = (moderation.segment_id, verdict.category)
            if told not in self._told:
                self._told.add(told)
                notice = _notice(
                    verdict,
                    part=gateway_pb2.MODERATED_PART_ASSET,
                    asset_id=entry.info.asset_id,
                    locator=entry.segments[moderation.segment_id].locator,
                )
                await self._tell(notice)
        if blocked := _blocking(verdicts):
            entry.blocked = _content_blocked(blocked, _name(entry), entry.info.asset_id)
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
        return judge(rules, _highest(response.moderations))


def pieces(text: str) -> Iterator[str]:
    """A text in pieces that encode takes, cut between words."""
    while len(text) > SEGMENT_CHARACTERS_MAX:
        blank = text.rfind(" ", 0, SEGMENT_CHARACTERS_MAX)
        length = blank + 1 or SEGMENT_CHARACTERS_MAX
        yield text[:length]
        text = text[length:]
    yield text


def _highest(moderations: Iterable[encode_pb2.SegmentModeration]) -> dict[str, float]:
    """The highest score of each category."""
    scores: dict[str, float] = {}
    for moderation in moderations:
        for found in moderation.result.scores:
            scores[found.category] = max(found.score, scores.get(found.category, 0.0))
    return scores


def _blocking(verdicts: list[Verdict]) -> Verdict | None:
    return verdicts[-1] if verdicts and verdicts[-1].action is Action.BLOCK else None


def _notice(verdict: Verdict, **where: Any) -> gateway_pb2.Moderation:
    score = moderation_pb2.ModerationScore(category=verdict.category, score=verdict.score)
    return gateway_pb2.Moderation(score=score, action=ACTIONS[verdict.action], **where)


def _content_blocked(verdict: Verdict, part: str, subject: str) -> InvalidInput:
    """The error of a blocked part, which names it and the category."""
    return InvalidInput(
        "CONTENT_BLOCKED",
        f"The moderation policy blocks {part}: {verdict.category} {verdict.score:.2f}.",
        subject=subject,
    )


def _name(entry: AssetEntry) -> str:
    return entry.info.name or entry.info.asset_id
