"""What a tenant's moderation policy makes of scores, and which files it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.policy import Action, Policies, Rule, blocks, judge, load_policies, watched
from services.runtime.errors import InvalidInput
from services.runtime.moderation import CATEGORIES

scores = st.dictionaries(st.sampled_from(CATEGORIES), st.floats(0, 1))
rules = st.dictionaries(
    st.sampled_from(CATEGORIES),
    st.builds(Rule, st.sampled_from(Action), st.floats(0.001, 1)),
)


def load(folder: Path, content: Any) -> Policies:
    path = folder / "moderation.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_policies(path)


@given(rules, scores, st.floats(0, 1))
def test_a_higher_threshold_never_blocks_or_flags_more(
    some: dict[str, Rule], found: dict[str, float], raised_by: float
) -> None:
    stricter = judge(some, found)
    higher = {
        category: Rule(rule.action, min(1.0, rule.threshold + raised_by))
        for category, rule in some.items()
    }
    milder = judge(higher, found)
    assert {v.category for v in milder} <= {v.category for v in stricter}


@given(rules, scores)
def test_only_what_is_watched_is_judged_and_the_gravest_comes_last(
    some: dict[str, Rule], found: dict[str, float]
) -> None:
    verdicts = judge(some, found)
    assert {v.category for v in verdicts} <= set(watched(some))
    assert all(v.score >= some[v.category].threshold for v in verdicts)
    blocked = [v.action is Action.BLOCK for v in verdicts]
    assert blocked == sorted(blocked)
    assert blocks(some) or not any(blocked)


def test_tenants_have_their_own_and_the_others_the_default(tmp_path: Path) -> None:
    policies = load(
        tmp_path,
        {
            "default": {"input": {"sexual": {"action": "block", "threshold": 0.8}}},
            "tenants": {"clinic": {"output": {"toxic": {"action": "flag", "threshold": 0.5}}}},
        },
    )
    assert policies.of("anyone").input == {"sexual": Rule(Action.BLOCK, 0.8)}
    assert policies.of("clinic").input == {}
    assert policies.of("clinic").output == {"toxic": Rule(Action.FLAG, 0.5)}


def test_without_a_file_nothing_is_watched() -> None:
    policy = load_policies(None).of("default")
    assert watched(policy.input) == watched(policy.output) == ()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"default": {"input": {"sexual": {"action": "ban", "threshold": 1}}}}, "sexual.action"),
        ({"default": {"input": {"sexual": {"action": "block"}}}}, "sexual.threshold"),
        ({"default": {"output": {"toxic": {"action": "flag", "threshold": 2}}}}, "threshold"),
        ({"default": {"input": {"rude": {"action": "flag", "threshold": 0.5}}}}, "rude"),
        ({"tenants": {"a": {"inputs": {}}}}, "tenants.a.inputs"),
        ("{", "JSON"),
    ],
)
def test_a_wrong_file_is_refused_by_the_name_of_the_field(
    tmp_path: Path, content: Any, named: str
) -> None:
    with pytest.raises(InvalidInput, match="MODERATION_FILE_INVALID") as refused:
        load(tmp_path, content)
    assert named in refused.value.message
    assert refused.value.subject == "SENSORIUM_MODERATION_FILE"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        load_policies(tmp_path / "none.json")
