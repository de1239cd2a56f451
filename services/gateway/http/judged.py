"""What is said of words and pictures, in OpenAI's categories and in those of the classifiers."""

from collections.abc import Sequence
from typing import Literal

from sensorium.gateway.v1 import gateway_pb2

from services.gateway.http.schema import Schema

Kind = Literal["text", "image"]

OPENAI = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""Categories that OpenAI's clients expect in every result."""
MEANT = {
    "harassment": "insult",
    "harassment/threatening": "threat",
    "hate": "identity_hate",
}
"""Category of OpenAI -> that of a classifier which means the same by another name."""


class ScoredBy(Schema):
    """What was judged at all."""

    scored_by: dict[str, str]
    """Category -> the category of a classifier whose score it has. Any other was judged by
    nothing: it is false and 0 whatever the input is."""


class Moderation(Schema):
    """What is said of one input: in OpenAI's categories, so that its clients find them all, and in
    those of this server's classifiers. OpenAI's ``harassment`` has the score of ``insult``,
    ``harassment/threatening`` that of ``threat``, ``hate`` that of ``identity_hate``."""

    flagged: bool
    """Whether any category is."""
    categories: dict[str, bool]
    """Whether the score reaches the threshold of the tenant's policy for what comes in; of a
    category that the policy does not name, 0.5."""
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Kind]]
    """What was judged by it, and nothing for a category that no classifier scores; writing in a
    picture counts as the picture."""
    sensorium: ScoredBy


def moderation(judged: Sequence[tuple[Kind, gateway_pb2.Judgement]]) -> Moderation:
    """What is said of inputs that are judged together: the highest score of each category."""
    flagged: dict[str, bool] = {}
    scores: dict[str, float] = {}
    kinds: dict[str, list[Kind]] = {}
    for kind, judgement in judged:
        for each in judgement.categories:
            name = each.score.category
            flagged[name] = flagged.get(name, False) or each.flagged
            scores[name] = max(scores.get(name, 0.0), each.score.score)
            applied = kinds.setdefault(name, [])
            if kind not in applied:
                applied.append(kind)
    names = {name: MEANT.get(name, name) for name in (*OPENAI, *scores)}
    return Moderation(
        flagged=any(flagged.values()),
        categories={name: flagged.get(by, False) for name, by in names.items()},
        category_scores={name: scores.get(by, 0.0) for name, by in names.items()},
        category_applied_input_types={name: kinds.get(by, []) for name, by in names.items()},
        sensorium=ScoredBy(scored_by={name: by for name, by in names.items() if by in scores}),
    )
