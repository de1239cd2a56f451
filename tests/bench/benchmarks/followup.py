"""A second question about the same media, beside the first: on the stream, and over HTTP later."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from statistics import median

from openai import AsyncOpenAI
from sensorium_client import Client
from sensorium_client.conversation import Conversation
from sensorium_client.events import AssetIndexed, Token, TurnComplete, Usage
from sensorium_client.media import Media, MediaFile
from sensorium_client.options import AskOptions

from tests.bench.asking import NoAnswer
from tests.bench.benchmarks.ttft import AUDIO, PHOTO, VIDEO, Case
from tests.bench.breakdown import seconds, shortfall
from tests.bench.estimates import paired_ratio
from tests.bench.results import Plan, Row
from tests.bench.servers import Server, serving

TARGET = 0.3
MAX_TOKENS = 32
OPTIONS = AskOptions(max_tokens=MAX_TOKENS, reuse_stored=False)


@dataclass(frozen=True, slots=True)
class Talk:
    """Three questions of one conversation, each another: seconds to the first token."""

    first_s: float
    """From the last byte of the media, which is sent at once."""
    same_stream_s: float
    later_http_s: float
    usage: Usage
    """Of the second turn."""


async def run(plan: Plan) -> list[Row]:
    """Each kind of media in conversations of its own."""
    rows: list[Row] = []
    async with serving(plan.folder) as server, Client(server.address) as client:
        for case in (PHOTO, AUDIO, VIDEO):
            talks: list[Talk] = []
            for index in range(plan.repeats + 1):
                talk = await _talk(server, client, case, index, plan)
                if index:  # the first warms up
                    talks.append(talk)
                    plan.say(
                        f"{case.name} {index}/{plan.repeats}: {talk.first_s:.2f} s, then "
                        f"{talk.same_stream_s:.2f} s, over HTTP {talk.later_http_s:.2f} s"
                    )
            rows += _rows(case, talks)
    return rows


async def _talk(server: Server, client: Client, case: Case, index: int, plan: Plan) -> Talk:
    assert case.make
    path = plan.folder / f"media-{index}{case.suffix}"
    path.write_bytes(case.make(index))
    made = await client.create_conversation()
    async with client.converse(OPTIONS, conversation_id=made.conversation_id) as conversation:
        first_s, _ = await _ask(conversation, case.question(index), [MediaFile(path)])
        path.unlink()
        same_stream_s, usage = await _ask(conversation, case.question(index + 1), [])
    later_http_s = await _ask_http(server, made.conversation_id, case.question(index + 2))
    return Talk(first_s, same_stream_s, later_http_s, usage)


async def _ask(
    conversation: Conversation, question: str, media: Sequence[Media]
) -> tuple[float, Usage]:
    """Ask, and wait until the media is indexed, so that nothing is left to disturb the next."""
    turn = conversation.begin_turn()

    async def send() -> float:
        await turn.send_text(question)
        for item in media:
            await turn.send_media(item)
        last_byte_s = time.perf_counter()
        await turn.end()
        return last_byte_s

    sender = asyncio.create_task(send())
    first_s: float | None = None
    usage: Usage | None = None
    unindexed = len(media)
    async with aclosing(conversation.events()) as events:
        async for event in events:
            if isinstance(event, Token) and first_s is None:
                first_s = time.perf_counter()
            elif isinstance(event, TurnComplete):
                usage = event.usage
            elif isinstance(event, AssetIndexed):
                unindexed -= 1
            if usage and not unindexed:
                break
    if first_s is None or usage is None:
        raise NoAnswer
    return first_s - await sender, usage


async def _ask_http(server: Server, conversation_id: str, question: str) -> float:
    """Ask by the openai client, on a connection of its own."""
    async with AsyncOpenAI(api_key="none", base_url=f"{server.http_url}/v1") as client:
        begun_s = time.perf_counter()
        stream = await client.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": question}],
            max_tokens=MAX_TOKENS,
            temperature=0,
            stream=True,
            extra_body={"sensorium": {"conversation_id": conversation_id}},
        )
        first_s: float | None = None
        async for chunk in stream:
            if first_s is None and chunk.choices and chunk.choices[0].delta.content:
                first_s = time.perf_counter()
    if first_s is None:
        raise NoAnswer
    return first_s - begun_s


def _rows(case: Case, talks: Sequence[Talk]) -> list[Row]:
    first_s = [talk.first_s for talk in talks]
    prompt = median(talk.usage.prompt_token_count for talk in talks)
    read = median(talk.usage.cached_token_count for talk in talks)
    known = f"{read:.0f} of the {prompt:.0f} tokens of the prompt were known"
    ways = {
        "on the same stream": ([talk.same_stream_s for talk in talks], [known]),
        "in a later HTTP request": ([talk.later_http_s for talk in talks], []),
    }
    return [_row(case, way, first_s, later_s, notes) for way, (later_s, notes) in ways.items()]


def _row(case: Case, way: str, first_s: list[float], later_s: list[float], notes: list[str]) -> Row:
    ratio = paired_ratio(later_s, first_s)
    if ratio.median > TARGET:
        notes = [shortfall(ratio.median, TARGET), *notes]
    return Row(
        name=f"follow-up question: {case.name.split(' at ')[0]}, {way}",
        measured=f"then {seconds(median(later_s))}",
        against=f"first question, sent at once: {seconds(median(first_s))}",
        ratio=ratio,
        target=f"≤ {TARGET}",
        met=ratio.median <= TARGET,
        notes=notes,
        samples={"first_s": first_s, "later_s": later_s},
    )
