"""The answer on its way out: a prefix of what was generated, all of it unless blocked."""

import asyncio
from typing import cast

from hypothesis import given
from hypothesis import strategies as st
from sensorium.gateway.v1 import gateway_pb2
from sensorium.generate.v1 import generate_pb2

from services.gateway.answer import AnswerRelay
from services.gateway.events import ConverseEvent, TurnEvents
from services.gateway.moderation import Moderation, pieces
from services.gateway.timings import TurnClock

tokens = st.lists(st.sampled_from(["A", " cat", ".", " ", "bad", "\n", " sits", "!"]), max_size=60)


class _Judge:
    """Allows every sentence without "bad"; ``sentences`` are those it saw."""

    def __init__(self, *, holds: bool) -> None:
        self.holds_answers = holds
        self.sentences: list[str] = []

    async def allows(self, sentence: str) -> bool:
        self.sentences.append(sentence)
        return "bad" not in sentence


def relay(texts: list[str], *, holds: bool) -> tuple[AnswerRelay, list[gateway_pb2.TokenChunk]]:
    shown: list[gateway_pb2.TokenChunk] = []

    async def emit(event: ConverseEvent) -> None:
        shown.append(event.token)

    async def run() -> AnswerRelay:
        judge = cast(Moderation, _Judge(holds=holds))
        answer = AnswerRelay(TurnEvents("turn", emit), judge, TurnClock())
        for text in texts:
            await answer.add(generate_pb2.TokenChunk(text=text, token_count=1))
        await answer.finish()
        return answer

    return asyncio.run(run()), shown


@given(tokens)
def test_what_is_shown_is_a_prefix_and_whole_unless_blocked(texts: list[str]) -> None:
    answer, shown = relay(texts, holds=True)
    whole = "".join(texts)
    assert "".join(chunk.text for chunk in shown) == answer.text
    assert whole.startswith(answer.text)
    assert answer.blocked == ("bad" in whole)
    assert answer.blocked or answer.text == whole
    assert "bad" not in answer.text
    if not answer.blocked and whole:
        assert sum(chunk.token_count for chunk in shown) == len(texts)


@given(tokens)
def test_without_a_policy_tokens_pass_as_they_come(texts: list[str]) -> None:
    answer, shown = relay(texts, holds=False)
    assert [chunk.text for chunk in shown] == texts
    assert not answer.blocked


@given(st.text("ab \n", max_size=12000))
def test_pieces_of_a_question_are_bounded_and_lose_nothing(text: str) -> None:
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert max(map(len, cut)) <= 4000
