"""What an answer names is what it was given, to whomever and however it is told."""

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from tests.contract.gateway.conversing import Served, ask, serving
from tests.harness import make_settings

QUESTION = "When was the lighthouse built?"


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(
        make_settings(tmp_path_factory.mktemp("served"), language_model="wheel:fake")
    ) as running:
        yield running


async def test_a_marker_of_nothing_is_told_by_no_way(served: Served, story: str) -> None:
    served.model.answer = lambda _: "In 1871 [1], they say [7] . It is old [1, 9]. [8]"
    expected = "In 1871 [1], they say . It is old [1]."
    made = await served.client.create_conversation()
    answer = await ask(served.client, QUESTION, made.conversation_id, story)
    assert answer.text == expected
    assert len(answer.cited) == 1
    (turn,) = [turn async for turn in served.client.conversation_turns(made.conversation_id)]
    assert turn.answer == expected
    async with AsyncOpenAI(base_url=f"{served.http_url}/v1", api_key="unused") as openai:
        part = {"type": "file", "file": {"file_id": next(iter(answer.cited))}}
        said = await openai.chat.completions.create(
            model=served.model.reference,
            messages=[{"role": "user", "content": [{"type": "text", "text": QUESTION}, part]}],  # type: ignore[list-item,misc]
        )
    assert said.choices[0].message.content == expected


async def test_where_the_notes_do_not_tell_nothing_is_named(served: Served, story: str) -> None:
    served.model.answer = lambda _: "I cannot tell from what I was given [1]."
    answer = await ask(served.client, "Which guitar chord rings?", "", story)
    assert answer.text == "I cannot tell from what I was given."


async def test_without_evidence_brackets_are_text(served: Served) -> None:
    served.model.answer = lambda _: "Its last element is x[9] [10]."
    assert (await ask(served.client, "What is last?")).text == "Its last element is x[9] [10]."
