"""Generations on the real model: what is read ahead, what is reused, what a cancel frees."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.generate.backends.base import ChatMessage
from services.generate.engine import Engine
from services.generate.generation import Generation
from services.generate.sampling import Sampling
from services.runtime.errors import InvalidInput, LimitExceeded, Overloaded
from tests.unit.generate.helpers import ask, collect, until

NOTES = [
    "[1] photo.jpg seen: tabby cat",
    "[2] photo.jpg reads: OPEN DAILY 9-5",
    "[3] talk.wav 0:00-0:04 heard: The meeting moves to Thursday at noon.",
    "[4] clip.mp4 0:12 seen: rocket launch",
]
LONG = [f"[{number}] film.mp4 seen: scene number {number} of the film" for number in range(60)]


async def test_an_answer_uses_the_context(engine: Engine) -> None:
    answer, generation = await ask(
        engine, "When is the meeting?", NOTES, sampling=Sampling(max_tokens=64)
    )
    assert "Thursday" in answer
    assert generation.usage.completion_token_count > 0
    assert not generation.reached_limit
    assert generation.timings.first_token_s is not None


async def test_a_question_without_context_is_answered_plainly(engine: Engine) -> None:
    answer, generation = await ask(engine, "What is the capital of France?")
    assert "Paris" in answer
    assert generation.usage.prompt_token_count < 40


async def test_the_conversation_so_far_is_known(engine: Engine) -> None:
    history = [
        ChatMessage("user", "My name is Ada."),
        ChatMessage("assistant", "Hello Ada, nice to meet you."),
    ]
    answer, _ = await ask(engine, "What is my name?", messages=history)
    assert "Ada" in answer


async def test_max_tokens_ends_an_answer_and_says_so(engine: Engine) -> None:
    _, generation = await ask(engine, "Count to one hundred.", sampling=Sampling(max_tokens=5))
    assert generation.reached_limit
    assert generation.usage.completion_token_count == 5


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    splits=st.lists(st.integers(1, len(NOTES) - 1), unique=True).map(sorted), reset=st.booleans()
)
async def test_greedy_tokens_do_not_depend_on_how_the_context_came(
    engine: Engine, splits: list[int], reset: bool
) -> None:
    question = "What is said in the recording?"
    whole, _ = await ask(engine, question, NOTES)
    generation = await engine.open("", (), Sampling(max_tokens=24))
    try:
        if reset:
            await generation.append(["[9] other.txt says: something else entirely"])
            await generation.reset()
        for start, end in zip([0, *splits], [*splits, len(NOTES)], strict=True):
            await generation.append(NOTES[start:end])
            await asyncio.sleep(0)
        assert await collect(generation, question) == whole
    finally:
        await generation.close()


async def test_context_is_read_before_the_question_comes(engine: Engine) -> None:
    generation = await engine.open("", (), Sampling(max_tokens=4))
    try:
        await generation.append(NOTES)
        await until(lambda: generation.read_ahead_token_count >= 64)
        await collect(generation, "What animal is seen?")
        assert generation.usage.cached_token_count >= 64
        assert generation.timings.prefill_ahead_s > 0
    finally:
        await generation.close()


async def test_the_same_media_asked_again_are_not_read_again(engine: Engine) -> None:
    await ask(engine, "What animal is seen?", NOTES)
    _, again = await ask(engine, "When is the meeting?", NOTES)
    unread = again.usage.prompt_token_count - again.usage.cached_token_count
    assert unread < 20


async def test_the_next_turn_does_not_read_the_last_answer_again(engine: Engine) -> None:
    question = "Name three colours."
    answer, first = await ask(engine, question)
    history = [ChatMessage("user", question), ChatMessage("assistant", answer)]
    _, second = await ask(engine, "Name another.", messages=history)
    spoken = first.usage.prompt_token_count + first.usage.completion_token_count
    assert second.usage.cached_token_count >= spoken - 2


async def test_the_next_turn_does_not_read_the_context_again(engine: Engine) -> None:
    question = "When is the meeting?"
    answer, first = await ask(engine, question, NOTES)
    history = [
        ChatMessage("user", question, tuple(NOTES)),
        ChatMessage("assistant", answer),
    ]
    _, second = await ask(engine, "On which day does it take place?", messages=history)
    spoken = first.usage.prompt_token_count + first.usage.completion_token_count
    assert second.usage.cached_token_count >= spoken - 2


HISTORY = [
    ChatMessage("user", "When is the meeting?", tuple(NOTES[2:3])),
    ChatMessage("assistant", "On Thursday."),
]
LATE = [NOTES[0], NOTES[1]]


async def test_after_reading_ahead_only_the_question_is_left_to_read(engine: Engine) -> None:
    question = "What animal is it?"
    tokens, read = await engine.read_ahead("", HISTORY, LATE)
    assert read == tokens
    _, generation = await ask(engine, question, LATE, messages=HISTORY)
    assert generation.usage.cached_token_count == tokens
    # So it was of any use.
    assert generation.usage.prompt_token_count - tokens < 20 < tokens


async def test_a_turn_that_comes_meanwhile_goes_on_with_what_was_read(engine: Engine) -> None:
    question = "When is the meeting?"
    answer, first = await ask(engine, question, NOTES)
    history = [ChatMessage("user", question, tuple(NOTES)), ChatMessage("assistant", answer)]
    reading = asyncio.create_task(engine.read_ahead("", history, LONG[:20]))
    await until(lambda: engine.active_slots > 0)
    reading.cancel()
    _, second = await ask(engine, "On which day does it take place?", messages=history)
    assert reading.cancelled()
    # The slot that has all of it was at work; another one would have begun from the start.
    spoken = first.usage.prompt_token_count + first.usage.completion_token_count
    assert second.usage.cached_token_count >= spoken - 2


async def test_nothing_is_read_ahead_where_streams_want_all_slots(engine: Engine) -> None:
    open_streams = [
        await engine.open("", (), Sampling(max_tokens=4)) for _ in range(engine.model.slot_count)
    ]
    try:
        for index, generation in enumerate(open_streams):
            await generation.append([f"[{index}] {NOTES[index]}", *NOTES])
            count = len(generation.prompt)
            await until(lambda gen=generation, n=count: gen.read_ahead_token_count >= n - 32)  # type: ignore[misc]
        tokens, read = await engine.read_ahead("", HISTORY, LATE)
        assert read < tokens / 2
        for generation in open_streams:
            held = engine.cached_token_count(generation)
            assert held >= generation.read_ahead_token_count
    finally:
        for generation in open_streams:
            await generation.close()


async def test_a_beginning_longer_than_the_window_is_refused(engine: Engine) -> None:
    with pytest.raises(LimitExceeded) as refused:
        await engine.read_ahead("", HISTORY, LONG * 10)
    assert refused.value.reason == "CONTEXT_TOO_LONG"


async def test_a_reset_forgets_the_context_of_earlier_messages_too(engine: Engine) -> None:
    said = [("user", "When is the meeting?"), ("assistant", "On Thursday.")]
    told = [ChatMessage(role, text, tuple(NOTES[2:] * (role == "user"))) for role, text in said]
    plain = [ChatMessage(role, text) for role, text in said]
    expected, _ = await ask(engine, "What is in the photo?", NOTES[:1], messages=plain)
    generation = await engine.open("", told, Sampling(max_tokens=24))
    try:
        await generation.append(NOTES[1:2])
        await generation.reset()
        await generation.append(NOTES[:1])
        assert await collect(generation, "What is in the photo?") == expected
    finally:
        await generation.close()


async def test_an_overlong_prompt_is_refused_with_both_lengths(engine: Engine) -> None:
    generation = await engine.open("", (), Sampling(max_tokens=24))
    try:
        with pytest.raises(LimitExceeded) as refused:
            for _ in range(10):
                await generation.append(LONG)
        assert refused.value.reason == "CONTEXT_TOO_LONG"
        assert "2048" in refused.value.message
    finally:
        await generation.close()


async def test_the_answer_counts_for_the_window_too(engine: Engine) -> None:
    with pytest.raises(LimitExceeded) as refused:
        await engine.open("", (), Sampling(max_tokens=2048))
    assert refused.value.reason == "CONTEXT_TOO_LONG"


@pytest.mark.parametrize("question", ["", "  \n"])
async def test_no_question(engine: Engine, question: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await ask(engine, question)
    assert refused.value.reason == "QUESTION_MISSING"


async def test_an_unknown_model_is_named(engine: Engine) -> None:
    with pytest.raises(InvalidInput) as refused:
        await engine.open("wheel:gpt-7", (), Sampling(max_tokens=1))
    assert refused.value.reason == "UNKNOWN_MODEL"
    assert refused.value.subject == "config.model"


async def test_cancel_while_decoding_frees_the_slot(engine: Engine) -> None:
    generation = await engine.open("", (), Sampling(max_tokens=400))
    answer = asyncio.create_task(collect(generation, "Count from one to five hundred in words."))
    await until(lambda: generation.usage.completion_token_count >= 3)
    await _cancel(answer, generation)
    await _idle(engine)
    assert generation.usage.completion_token_count < 400


async def test_cancel_while_reading_frees_the_slot(engine: Engine) -> None:
    generation = await engine.open("", (), Sampling(max_tokens=4))
    await generation.append(LONG)
    answer = asyncio.create_task(collect(generation, "What is seen?"))
    await until(lambda: generation.usage.prompt_token_count > 0 and engine.active_slots == 1)
    await _cancel(answer, generation)
    await _idle(engine)
    assert generation.usage.completion_token_count == 0
    assert engine.cached_token_count(generation) < len(generation.prompt) - 32


async def test_closing_while_context_is_read_ahead_frees_the_slot(engine: Engine) -> None:
    generation = await engine.open("", (), Sampling(max_tokens=4))
    await generation.append(LONG)
    await until(lambda: engine.active_slots == 1)
    await generation.close()
    await _idle(engine)


async def test_a_long_prompt_does_not_freeze_other_answers(engine: Engine) -> None:
    answers = [await engine.open("", (), Sampling(max_tokens=300)) for _ in range(2)]
    tasks = [
        asyncio.create_task(collect(answer, "Count from one to three hundred in words."))
        for answer in answers
    ]
    for answer in answers:
        await until(lambda answer=answer: answer.usage.completion_token_count > 0)  # type: ignore[misc]
    before = [answer.usage.completion_token_count for answer in answers]
    _, long = await ask(engine, "What is seen?", LONG[:12], sampling=Sampling(max_tokens=1))
    after = [answer.usage.completion_token_count for answer in answers]
    chunks = long.usage.prompt_token_count // 32
    assert chunks >= 4
    # A token for each chunk of the long prompt, at least; 2 to spare for the first and last.
    for now, then in zip(after, before, strict=True):
        assert now - then >= chunks - 2
    for task, answer in zip(tasks, answers, strict=True):
        await _cancel(task, answer)
    await _idle(engine)


async def test_more_answers_than_slots_wait_and_then_are_refused(engine: Engine) -> None:
    # Four slots and a queue of two.
    held = [await engine.open("", (), Sampling(max_tokens=200)) for _ in range(6)]
    tasks = [
        asyncio.create_task(collect(generation, "Count from one to three hundred in words."))
        for generation in held
    ]
    await until(lambda: engine.active_slots == 4 and engine.waiting == 2)
    with pytest.raises(Overloaded) as refused:
        await ask(engine, "One more?")
    assert refused.value.retry_after_s
    # Cancelling those that wait, and one that runs, lets nothing leak.
    for task, generation in zip(tasks, held, strict=True):
        await _cancel(task, generation)
    await _idle(engine)
    answer, _ = await ask(engine, "What is the capital of France?")
    assert "Paris" in answer


async def _cancel(answer: "asyncio.Task[str]", generation: Generation) -> None:
    answer.cancel()
    await asyncio.wait({answer})
    assert answer.cancelled()
    await generation.close()


async def _idle(engine: Engine) -> None:
    await until(lambda: engine.active_slots == 0)
    assert await engine.busy_slots() == 0
    assert engine.waiting == 0
