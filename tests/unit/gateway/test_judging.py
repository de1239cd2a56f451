"""A rule that blocks is never passed by because its classifier failed."""

from typing import cast

import pytest
from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2, moderation_pb2

from services.gateway.ledger import AssetEntry
from services.gateway.moderation import Moderation
from services.gateway.policy import Action, Policy, Rule
from services.gateway.stages import Stages
from services.runtime.calls import CallScope
from services.runtime.errors import InternalFailure, InvalidInput

SEGMENT = "a/view/0"


class Judging:
    """One picture under a rule."""

    def __init__(self, action: Action, threshold: float = 0.5) -> None:
        self.told: list[gateway_pb2.Moderation] = []
        self.entry = AssetEntry(media_pb2.AssetInfo(asset_id="a", name="photo.jpg"))
        self.entry.segments[SEGMENT] = media_pb2.MediaSegment(segment_id=SEGMENT, asset_id="a")
        policy = Policy(input={"sexual": Rule(action, threshold)})
        no_stages = cast(Stages, None)
        self.moderation = Moderation(no_stages, CallScope(), policy, self._tell)

    async def _tell(self, found: gateway_pb2.Moderation) -> None:
        self.told.append(found)

    async def scored(self, score: float) -> None:
        found = moderation_pb2.ModerationScore(category="sexual", score=score)
        result = moderation_pb2.ModerationResult(scores=[found])
        await self._note(moderation=encode_pb2.SegmentModeration(segment_id=SEGMENT, result=result))

    async def complete(self) -> None:
        await self._note(segment_complete=encode_pb2.SegmentComplete(segment_id=SEGMENT))

    async def _note(self, **event: object) -> None:
        response = encode_pb2.StreamingEncodeResponse(**event)  # type: ignore[arg-type]
        await self.moderation.media(lambda _: self.entry, response)


async def test_what_was_not_judged_is_not_let_through() -> None:
    judging = Judging(Action.BLOCK)
    with pytest.raises(InternalFailure, match="CONTENT_NOT_JUDGED"):
        await judging.complete()
    assert judging.entry.blocked


async def test_what_is_read_later_must_be_judged_again() -> None:
    judging = Judging(Action.BLOCK)
    await judging.scored(0.1)
    await judging.complete()
    with pytest.raises(InternalFailure, match="CONTENT_NOT_JUDGED"):
        await judging.complete()


async def test_a_flag_needs_no_judgement_and_is_told_once() -> None:
    judging = Judging(Action.FLAG)
    await judging.complete()
    for _ in range(2):
        await judging.scored(0.6)
        await judging.complete()
    assert [found.score.category for found in judging.told] == ["sexual"]
    assert judging.entry.blocked is None


async def test_a_blocked_asset_is_told_of_once_and_marked() -> None:
    judging = Judging(Action.BLOCK)
    with pytest.raises(InvalidInput, match=r"photo\.jpg: sexual 0\.50"):
        await judging.scored(0.5)
    await judging.scored(0.9)
    await judging.complete()
    assert len(judging.told) == 1
    assert not judging.entry.indexable


async def test_the_part_that_has_most_is_what_is_kept() -> None:
    judging = Judging(Action.FLAG)
    for score in (0.75, 0.625, 0.875, 0.25):
        await judging.scored(score)
    (kept,) = judging.entry.scores.values()
    assert (kept.score.score, kept.blocked) == (0.875, False)


@pytest.mark.parametrize(
    ("action", "threshold", "admitted"),
    [
        (Action.BLOCK, 0.5, False),
        (Action.BLOCK, 0.75, False),
        (Action.BLOCK, 0.8, True),
        (Action.FLAG, 0.5, True),
        (Action.ALLOW, 0.5, True),
    ],
)
async def test_what_was_found_is_judged_by_the_policy_as_it_is_now(
    action: Action, threshold: float, admitted: bool
) -> None:
    judging = Judging(action, threshold)
    found = media_pb2.ModerationFinding(
        score=moderation_pb2.ModerationScore(category="sexual", score=0.75), blocked=True
    )
    asset = media_pb2.Asset(info=judging.entry.info, moderation_findings=[found])
    assert judging.moderation.forbids(asset) is not admitted
    if admitted:
        await judging.moderation.stored(asset)
    else:
        with pytest.raises(InvalidInput, match=r"CONTENT_BLOCKED.* photo\.jpg: sexual 0\.75"):
            await judging.moderation.stored(asset)
    flagged_or_blocked = action is not Action.ALLOW and threshold <= 0.75
    assert [told.score.category for told in judging.told] == ["sexual"] * flagged_or_blocked


@pytest.mark.parametrize("action", list(Action))
def test_what_was_never_judged_is_hidden_where_it_may_have_to_be_blocked(action: Action) -> None:
    judging = Judging(action)
    asset = media_pb2.Asset(info=judging.entry.info, indexed=True)
    assert judging.moderation.hides(asset) == (action is Action.BLOCK)
    assert judging.moderation.stands(asset) == (action is Action.ALLOW)
    score = moderation_pb2.ModerationScore(category="sexual", score=0.25)
    asset.moderation_scores.add(score=score)
    assert not judging.moderation.hides(asset)
    assert judging.moderation.stands(asset)


async def test_what_could_not_be_judged_in_a_part_is_not_taken_for_judged() -> None:
    judging = Judging(Action.FLAG)
    await judging.scored(0.25)
    await judging.complete()
    assert not judging.entry.unjudged
    await judging.complete()
    assert judging.entry.unjudged
