"""What a tenant wants done about unwanted content: allow, flag or block, by category."""

from collections.abc import Collection, Mapping
from dataclasses import field
from enum import Enum
from pathlib import Path

from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from services.runtime.json_files import read_json_file
from services.runtime.moderation import CATEGORIES

FLAGGED_FROM = 0.5
"""Score from which a category is flagged that no rule names."""

_STRICT = ConfigDict(extra="forbid")


class Action(Enum):
    """What is done about something that reaches a threshold."""

    ALLOW = "allow"
    FLAG = "flag"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, config=_STRICT)
class Rule:
    """What is done about one category from a score on, which lies above 0 and is at most 1."""

    action: Action
    threshold: float = Field(gt=0, le=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One category that reached its threshold."""

    category: str
    score: float
    action: Action


@dataclass(frozen=True, slots=True, config=_STRICT)
class Policy:
    """The rules of a tenant by category, for what comes in and for what goes out. What no
    rule names is allowed, and not even looked at."""

    input: Mapping[str, Rule] = field(default_factory=dict)
    output: Mapping[str, Rule] = field(default_factory=dict)

    @field_validator("input", "output")
    @classmethod
    def _known(cls, rules: Mapping[str, Rule]) -> Mapping[str, Rule]:
        for category in rules:
            if category not in CATEGORIES:
                raise ValueError(f"{category} is none of {', '.join(CATEGORIES)}")
        return rules


@dataclass(frozen=True, slots=True, config=_STRICT)
class Policies:
    """The policies of all tenants; ``default`` is that of tenants that are not named."""

    default: Policy = field(default_factory=Policy)
    tenants: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, tenant_id: str) -> Policy:
        """The policy of a tenant."""
        return self.tenants.get(tenant_id, self.default)

    @property
    def watched(self) -> tuple[str, ...]:
        """The categories about which any tenant wants something done, in alphabetical order."""
        policies = (self.default, *self.tenants.values())
        rules = [rules for policy in policies for rules in (policy.input, policy.output)]
        return tuple(sorted({category for each in rules for category in watched(each)}))


def watched(rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """The categories about which something would be done, in alphabetical order."""
    return tuple(sorted(name for name, rule in rules.items() if rule.action is not Action.ALLOW))


def blocks(rules: Mapping[str, Rule], categories: Collection[str] = CATEGORIES) -> bool:
    """Whether any rule about one of the categories blocks."""
    return any(rule.action is Action.BLOCK for name, rule in rules.items() if name in categories)


def judge(rules: Mapping[str, Rule], scores: Mapping[str, float]) -> list[Verdict]:
    """What the rules say of scores: flags, then blocks, the most certain last."""
    verdicts = [
        Verdict(category, scores[category], rule.action)
        for category, rule in rules.items()
        if rule.action is not Action.ALLOW and scores.get(category, 0.0) >= rule.threshold
    ]
    return sorted(verdicts, key=lambda verdict: (verdict.action is Action.BLOCK, verdict.score))


def is_flagged(rules: Mapping[str, Rule], category: str, score: float) -> bool:
    """Whether a score is to be told as unwanted to who asks for a judgement."""
    rule = rules.get(category)
    if rule is None:
        return score >= FLAGGED_FROM
    return rule.action is not Action.ALLOW and score >= rule.threshold


def load_policies(path: Path | None) -> Policies:
    """The policies of a JSON file; without one nothing is moderated.

    Raises:
        InvalidInput: MODERATION_FILE_INVALID, naming the field.
    """
    if path is None:
        return Policies()
    return read_json_file(Policies, path, "moderation_file")
