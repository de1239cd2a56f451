"""Judgements in OpenAI's categories and in those of the classifiers."""

from openai.types import Moderation as OpenAIModeration
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import moderation_pb2

from services.gateway.http.judged import moderation


def judgement(**scores: float) -> gateway_pb2.Judgement:
    return gateway_pb2.Judgement(
        categories=[
            gateway_pb2.CategoryJudgement(
                score=moderation_pb2.ModerationScore(category=category, score=score),
                flagged=score >= 0.5,
            )
            for category, score in scores.items()
        ]
    )


def test_openai_clients_find_all_their_categories() -> None:
    told = moderation([("text", judgement(insult=0.75, threat=0.25, toxic=0.5))])
    # With its aliases, and none missing.
    read = OpenAIModeration.model_validate(told.model_dump())
    assert read.flagged
    assert (read.categories.harassment, read.categories.harassment_threatening) == (True, False)
    assert read.category_scores.harassment_threatening == 0.25
    assert read.category_applied_input_types.harassment == ["text"]
    assert (told.categories["toxic"], told.category_scores["insult"]) == (True, 0.75)


def test_what_no_classifier_judges_is_said_to_be_unjudged() -> None:
    told = moderation([("image", judgement(sexual=0.75))])
    assert told.sensorium.scored_by == {"sexual": "sexual"}
    assert (told.categories["self-harm"], told.category_scores["self-harm"]) == (False, 0)
    assert told.category_applied_input_types["self-harm"] == []


def test_of_parts_judged_together_the_worst_counts() -> None:
    parts = judgement(sexual=0.25, identity_hate=0.75), judgement(sexual=0.75)
    told = moderation([("text", parts[0]), ("image", parts[1])])
    assert told.category_scores["sexual"] == told.category_scores["hate"] == 0.75
    assert told.category_applied_input_types["sexual"] == ["text", "image"]
    assert told.category_applied_input_types["hate"] == ["text"]
