"""What an answer may rest on among stored assets, over a real store and a real index."""

from services.gateway.moderation import Moderation, tell_nobody
from services.gateway.perception import embed_text
from services.gateway.policy import Action, Policy, Rule
from services.gateway.recall import recalled_evidence
from tests.contract.gateway.conftest import QUERY, SCOPE, World, document


async def test_what_the_policy_blocks_by_now_is_not_recalled_though_it_is_indexed(
    world: World,
) -> None:
    await world.store("fine", "odd")
    await world.index([document("fine", 1, 0.8), document("odd", 2, 0.9)])
    await world.note_finding("odd", "sexual", 0.75)
    vector = await embed_text(world.stages, SCOPE, QUERY)

    async def recalled(rule: Rule) -> list[str]:
        policy = Policy(input={"sexual": rule})
        moderation = Moderation(world.stages, SCOPE, policy, tell_nobody)
        evidence = await recalled_evidence(
            world.stages, SCOPE, QUERY, vector, frozenset(), moderation
        )
        return sorted(each.evidence.asset_id for each in evidence)

    assert await recalled(Rule(Action.FLAG, 0.5)) == ["fine", "odd"]
    assert await recalled(Rule(Action.BLOCK, 0.9)) == ["fine", "odd"]
    assert await recalled(Rule(Action.BLOCK, 0.5)) == ["fine"]
