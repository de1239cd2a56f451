"""How far words and pictures are unwanted, told to who asks; nothing is blocked here."""

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import moderation_pb2

from services.gateway.contents import ContentLimits, check, encode_contents
from services.gateway.moderation import highest
from services.gateway.perception import READING_TASKS
from services.gateway.policy import Policy, is_flagged
from services.gateway.stages import Stages
from services.runtime.calls import CallScope

LIMITS = ContentLimits(input_count=32, text_characters=32_000)


async def judge_contents(
    stages: Stages, scope: CallScope, request: gateway_pb2.ModerateRequest, policy: Policy
) -> gateway_pb2.ModerateResponse:
    """What every classifier of the server says of each input, and what the policy for what comes
    in would flag. Raises SensoriumError, naming the input."""
    check(request.inputs, LIMITS)
    found: list[list[encode_pb2.SegmentModeration]] = [[] for _ in request.inputs]
    # Of no category in particular: of all that are served.
    config = encode_pb2.EncodeConfig(tasks=(*READING_TASKS, encode_pb2.ENCODE_TASK_MODERATE))
    async for index, event in encode_contents(stages, scope, request.inputs, config):
        found[index].append(event.moderation)
    return gateway_pb2.ModerateResponse(
        judgements=[
            gateway_pb2.Judgement(
                categories=[
                    gateway_pb2.CategoryJudgement(
                        score=moderation_pb2.ModerationScore(category=category, score=score),
                        flagged=is_flagged(policy.input, category, score),
                    )
                    for category, score in sorted(highest(each).items())
                ]
            )
            for each in found
        ]
    )
