"""Conversations that last, on both databases; only the models are fakes."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from sensorium_client import Client, SensoriumClientError
from sensorium_client.events import Event, Progress, Token, TurnComplete
from sensorium_client.lasting import StoredTurn
from sensorium_client.media import MediaFile

from services.gateway.conversations.records import TurnRecord
from services.gateway.conversations.store import ConversationStore
from services.gateway.database import patience
from services.gateway.database.engine import Database
from services.generate.prompt import CONTEXT_HEADER
from services.runtime.errors import NotFound, OutOfOrder
from services.runtime.settings import Settings
from tests.contract.gateway.conversing import STORY, Served, answered, ask, serving
from tests.databases import Postgres
from tests.harness import make_settings
from tests.pipeline.platform import until
from tests.ports import free_port
from tests.unit.client.test_commands import run

START_WITHIN_S = 60


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with serving(make_settings(tmp_path_factory.mktemp("served"))) as running:
        yield running


def turn(question: str, *asset_ids: str) -> TurnRecord:
    return TurnRecord(question, "Yes.", asset_ids, (), 1, 1, 2)


async def turns(client: Client, conversation_id: str) -> list[StoredTurn]:
    return [turn async for turn in client.conversation_turns(conversation_id)]


def reason(error: pytest.ExceptionInfo[SensoriumClientError]) -> tuple[str, str]:
    return error.value.code, error.value.reason


async def is_stored(served: Served, asset_id: str) -> bool:
    return asset_id in [asset.asset_id async for asset in served.client.list_assets()]


async def until_complete(events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    async for event in events:
        yield event
        if isinstance(event, TurnComplete):
            return


# --- what is remembered -----------------------------------------------------------------------


async def test_a_later_stream_knows_the_media_and_reads_a_line_and_the_question(
    served: Served, story: str
) -> None:
    made = await served.client.create_conversation()
    first = await ask(served.client, "How tall is the lighthouse?", made.conversation_id, story)
    second = await ask(served.client, "When was the lighthouse built?", made.conversation_id)
    assert first.cited
    assert second.cited == first.cited
    before, after = served.model.prompts[-2:]
    assert after.startswith(f"{before}{first.text}")
    # Once more right before the question, where a small model does not overlook it.
    assert after[len(before) :].count(STORY) == 1
    usage = second.complete.usage
    assert usage.cached_token_count >= len(before)

    told = await turns(served.client, made.conversation_id)
    assert [each.question for each in told] == [
        "How tall is the lighthouse?",
        "When was the lighthouse built?",
    ]
    assert {citation.evidence.asset_id for each in told for citation in each.citations} == set(
        first.cited
    )
    assert told[0].asset_ids == tuple(first.cited)
    assert told[0].create_time_s <= told[0].complete_time_s <= told[1].complete_time_s
    named = await served.client.get_conversation(made.conversation_id)
    assert (named.name, named.turn_count) == ("How tall is the lighthouse?", 2)


async def test_turns_of_one_stream_read_no_more_either(served: Served, story: str) -> None:
    async with served.client.converse() as conversation:
        for question, files in (
            ("How tall is the lighthouse?", [story]),
            ("When was it built?", []),
            ("Who lives in it?", []),
        ):
            async for _ in conversation.ask(question, files):
                pass
    first, *later = served.model.prompts[-3:]
    assert [prompt.count(STORY) for prompt in (first, *later)] == [1, 2, 3]
    assert [prompt.count(CONTEXT_HEADER) for prompt in (first, *later)] == [1, 1, 1]
    assert later[0].startswith(first)
    assert later[1].startswith(later[0])


async def test_a_long_line_is_not_read_twice(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text(" ".join(["The lighthouse is very, very tall indeed"] * 9) + ".")
    made = await served.client.create_conversation()
    await ask(served.client, "How tall is the lighthouse?", made.conversation_id, str(path))
    await ask(served.client, "When was the lighthouse built?", made.conversation_id)
    before, after = served.model.prompts[-2:]
    assert after.count("[1]") == 1 + before.count("[1]")  # in the answer


async def test_deleted_media_is_no_evidence_any_more_and_what_was_said_stays(
    served: Served, story: str
) -> None:
    made = await served.client.create_conversation()
    first = await ask(served.client, "How tall is the lighthouse?", made.conversation_id, story)
    (asset_id,) = first.cited
    async with served.client.converse() as conversation:
        # It remembers the asset by itself, and must not either.
        async for _ in conversation.ask("How tall?", asset_ids=[asset_id]):
            pass
        await served.client.delete(asset_id)
        async for event in conversation.ask("And when was the lighthouse built?"):
            assert "1871" not in served.model.prompts[-1] or not isinstance(event, Token)
    second = await ask(served.client, "When was the lighthouse built?", made.conversation_id)
    assert not second.cited
    assert "1871" not in served.model.prompts[-1]
    assert "How tall is the lighthouse?" in served.model.prompts[-1]
    told = await turns(served.client, made.conversation_id)
    assert [each.answer for each in told] == [first.text, second.text]
    assert not any(each.asset_ids or each.citations for each in told)


async def test_media_deleted_while_the_model_answers_is_not_cited_and_not_stored(
    served: Served, story: str, tmp_path: Path
) -> None:
    made = await served.client.create_conversation()
    media = MediaFile(Path(story), asset_id="story-to-go")
    question = "How tall is the lighthouse?"
    asking = ask(served.client, question, made.conversation_id, media)
    async with served.model.answering(asking) as asked:
        await until(lambda: is_stored(served, "story-to-go"), 60, "the file is stored")
        await served.client.delete("story-to-go")
    assert not (await asked).cited
    # Other bytes under the same id are not what the turn was about.
    other = tmp_path / "other.txt"
    other.write_text("The harbour is closed in winter.")
    media = MediaFile(other, asset_id="story-to-go")
    await ask(served.client, "When is it closed?", "", media)
    (told,) = await turns(served.client, made.conversation_id)
    assert (told.asset_ids, told.citations) == ((), ())


async def test_media_deleted_after_its_turn_began_is_no_evidence(
    served: Served, story: str, tmp_path: Path
) -> None:
    note = tmp_path / "note.txt"
    note.write_text("The harbour is closed in winter.")
    async with served.client.converse() as conversation:
        told = [event async for event in conversation.ask("How tall is the lighthouse?", [story])]
        (asset_id,) = answered(told).cited
        turn = conversation.begin_turn()
        await turn.send_text("And when was the lighthouse built?")
        await turn.send_media(MediaFile(note))
        events = conversation.events()
        async for event in events:
            # It perceives, so it has looked up what it remembers.
            if isinstance(event, Progress) and event.complete:
                break
        await served.client.delete(asset_id)
        await turn.end()
        told = [event async for event in until_complete(events)]
    answer = answered(told)
    assert answer.text
    assert asset_id not in answer.cited
    assert "1871" not in served.model.prompts[-1]
    assert "harbour" in served.model.prompts[-1]


async def test_a_second_turn_at_the_same_time_is_refused(served: Served) -> None:
    made = await served.client.create_conversation()
    asking = ask(served.client, "One?", made.conversation_id)
    async with served.model.answering(asking) as first:
        with pytest.raises(SensoriumClientError) as refused:
            await ask(served.client, "Two?", made.conversation_id)
    assert reason(refused) == ("FAILED_PRECONDITION", "CONVERSATION_BUSY")
    await first
    await ask(served.client, "Two?", made.conversation_id)
    assert [each.question for each in await turns(served.client, made.conversation_id)] == [
        "One?",
        "Two?",
    ]


async def test_a_cancelled_turn_is_not_stored_and_holds_nothing(served: Served) -> None:
    made = await served.client.create_conversation()
    async with served.model.answering(ask(served.client, "One?", made.conversation_id)) as asked:
        asked.cancel()
        await asyncio.wait({asked})
        # The gateway hears of it later; until then the answer would be stored.
        await until(lambda: served.admission.active == 0, 60, "the turn ends")
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(SensoriumClientError):
                await ask(served.client, "Two?", made.conversation_id)
                break
            await asyncio.sleep(0.05)
    assert [each.question for each in await turns(served.client, made.conversation_id)] == ["Two?"]


async def test_rename_list_and_delete(served: Served) -> None:
    older = await served.client.create_conversation("Older")
    newer = await served.client.create_conversation()
    await served.client.rename_conversation(older.conversation_id, "Harbour")
    await ask(served.client, "Hello?", older.conversation_id)
    listed = [each async for each in served.client.list_conversations(page_size=1)]
    ids = [each.conversation_id for each in listed]
    assert ids.index(older.conversation_id) < ids.index(newer.conversation_id)
    assert len(set(ids)) == len(ids)
    assert listed[0].name == "Harbour"
    await served.client.delete_conversation(older.conversation_id)
    for call in (
        served.client.get_conversation(older.conversation_id),
        served.client.delete_conversation(older.conversation_id),
        served.client.rename_conversation(older.conversation_id, "x"),
        ask(served.client, "Hello?", older.conversation_id),
    ):
        with pytest.raises(SensoriumClientError) as gone:
            await call
        assert reason(gone) == ("NOT_FOUND", "CONVERSATION_NOT_FOUND")
    for name in ("", " ", "x" * 201):
        with pytest.raises(SensoriumClientError) as refused:
            await served.client.rename_conversation(newer.conversation_id, name)
        assert reason(refused) == ("INVALID_ARGUMENT", "NAME_INVALID")


# --- the command --------------------------------------------------------------------------------


async def test_the_command_begins_goes_on_and_tidies_up(served: Served, story: str) -> None:
    address = served.client.address
    code, out, error = await run(
        address, "ask", "How tall is the lighthouse?", story, "--conversation", "new"
    )
    assert (code, "[1]" in out) == (0, True), error
    code, out, error = await run(
        address, "ask", "When was it built?", "--conversation", "last", "--json"
    )
    assert code == 0, error
    told = [json.loads(line) for line in out.splitlines()]
    assert "story.txt" in {e["evidence"]["asset_name"] for e in told if e["type"] == "citation"}
    code, out, error = await run(address, "conversations", "show")
    assert code == 0, error
    assert "› How tall is the lighthouse?" in out
    assert "› When was it built?" in out
    assert "from story.txt" in out
    code, out, error = await run(address, "conversations", "list", "--count", "1", "--json")
    (listed,) = [json.loads(line) for line in out.splitlines()]
    assert (listed["name"], listed["turn_count"]) == ("How tall is the lighthouse?", 2)
    code, out, error = await run(address, "conversations", "delete", listed["conversation_id"])
    assert code == 0, error
    code, out, error = await run(address, "conversations", "show", listed["conversation_id"])
    assert (code, "There is no such conversation" in error) == (1, True), error
    assert "sensorium conversations list" in error
    await served.client.create_conversation()
    code, out, error = await run(address, "conversations", "show", "last")
    assert (code, "(nothing asked yet)" in out) == (0, True), error


# --- over HTTP --------------------------------------------------------------------------------


@pytest.fixture
async def http(served: Served) -> AsyncIterator[AsyncOpenAI]:
    url = f"{served.http_url}/v1"
    async with AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:
        yield client


async def test_openai_clients_keep_conversations(
    served: Served, http: AsyncOpenAI, story: str
) -> None:
    made = await http.conversations.create(metadata={"name": "Lighthouse"})
    first = await ask(served.client, "How tall is the lighthouse?", made.id, story)
    await ask(served.client, "When was it built?", made.id)
    page = await http.conversations.items.list(made.id, order="asc", limit=3)
    items: list[Any] = list(page.data)
    said = [(item.role, item.content[0].text) for item in items]
    assert said == [
        ("user", "How tall is the lighthouse?"),
        ("assistant", first.text),
        ("user", "When was it built?"),
    ]
    newest = [item.id async for item in http.conversations.items.list(made.id, limit=1)]
    assert newest == [f"msg_{n}_{role}" for n in (2, 1) for role in ("assistant", "user")]
    with pytest.raises(openai.NotFoundError) as unknown:
        await http.conversations.items.list(made.id, after="msg_9_user")
    assert unknown.value.code == "ITEM_UNKNOWN"
    renamed = await http.conversations.update(made.id, metadata={"name": "Harbour"})
    assert renamed.metadata == {"name": "Harbour"}
    whole = await http.get(f"/conversations/{made.id}", cast_to=dict[str, Any])
    assert whole["turns"][0]["citations"][0]["evidence"]["asset_id"] in first.cited
    listed = await http.get("/conversations", cast_to=dict[str, Any])
    assert made.id in [each["id"] for each in listed["data"]]
    gone = await http.conversations.delete(made.id)
    assert (gone.id, gone.deleted) == (made.id, True)
    with pytest.raises(openai.NotFoundError) as error:
        await http.conversations.retrieve(made.id)
    assert error.value.code == "CONVERSATION_NOT_FOUND"


# --- the database -----------------------------------------------------------------------------


async def test_tenants_do_not_see_each_others(store: ConversationStore) -> None:
    made = await store.create("acme", "Ours")
    await store.append("acme", made.conversation_id, 0, turn("Secret?", "asset"))
    assert await store.list("other", 10) == []
    for attempt in (
        store.get("other", made.conversation_id),
        store.turns("other", made.conversation_id, 10, 0, newest_first=False),
        store.recall("other", made.conversation_id),
        store.rename("other", made.conversation_id, "Theirs"),
        store.append("other", made.conversation_id, 1, turn("Mine?")),
        store.delete("other", made.conversation_id),
    ):
        with pytest.raises(NotFound):
            await attempt
    await store.forget_asset("other", "asset")
    record, (kept,) = await store.turns("acme", made.conversation_id, 10, 0, newest_first=True)
    assert (record.name, kept.asset_ids) == ("Ours", ("asset",))


async def test_of_turns_at_the_same_time_one_is_stored_and_the_others_are_told(
    url: str, store: ConversationStore, tmp_path: Path
) -> None:
    """Two gateways, each with connections of its own, at one conversation."""
    other = Database(make_settings(tmp_path, database_url=url))
    stores = (store, ConversationStore(other))
    made = await store.create("acme", "")

    async def append(index: int) -> bool:
        each = stores[index % 2]
        known = await each.recall("acme", made.conversation_id)
        try:
            await each.append("acme", made.conversation_id, known.turn_count, turn(f"q{index}"))
        except OutOfOrder as error:
            assert error.reason == "CONVERSATION_BUSY"
            return False
        return True

    stored = sum(await asyncio.gather(*map(append, range(12))))
    await other.close()
    record, kept = await store.turns("acme", made.conversation_id, 100, 0, newest_first=False)
    assert record.turn_count == stored >= 1
    assert [each.number for each in kept] == list(range(1, stored + 1))


async def test_text_with_a_zero_character_is_stored(store: ConversationStore) -> None:
    made = await store.create("acme", "")
    await store.append("acme", made.conversation_id, 0, turn("a\0b"))
    known = await store.recall("acme", made.conversation_id)
    assert known.exchanges == (("ab", "Yes."),)


@contextlib.asynccontextmanager
async def server_process(
    settings: Settings,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Client]]:
    """A gateway in a process of its own, ready."""
    values = {
        "PORT": str(free_port()),
        "HTTP_ENABLED": "0",
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url,
        "LOG_LEVEL": "WARNING",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.gateway.conversing"),
        env={**os.environ, **{f"SENSORIUM_{name}": value for name, value in values.items()}},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(START_WITHIN_S):
            assert await process.stdout.readline() == b"ready\n"
        async with Client(f"127.0.0.1:{values['PORT']}") as client:
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_an_acknowledged_turn_survives_kill_9(url: str, tmp_path: Path, story: str) -> None:
    settings = make_settings(tmp_path, database_url=url)
    async with server_process(settings) as (process, client):
        made = await client.create_conversation()
        async with client.converse(conversation_id=made.conversation_id) as conversation:
            async for _ in conversation.ask("How tall is the lighthouse?", [story]):
                pass
            # turn_complete was the last event.
            process.send_signal(signal.SIGKILL)
            await process.wait()
    async with server_process(settings) as (_, client):
        (kept,) = await turns(client, made.conversation_id)
        assert kept.question == "How tall is the lighthouse?"
        later = await ask(client, "When was the lighthouse built?", made.conversation_id)
        assert later.cited == set(kept.asset_ids)


@contextlib.contextmanager
def hanging(postgres_server: Postgres) -> Iterator[None]:
    """It does nothing. Only meanwhile is it not waited for: a busy one may be as slow."""
    with postgres_server.paused(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(patience, "ANSWER_TIMEOUT_S", 0.5)
        yield


async def test_a_database_that_hangs_costs_a_wait_and_no_more(
    tmp_path: Path, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "CONNECT_TIMEOUT_S", 2)
    settings = make_settings(tmp_path, database_url=postgres_server.new_database())
    async with serving(settings) as served, asyncio.timeout(60):
        made = await served.client.create_conversation()
        await ask(served.client, "One?", made.conversation_id)
        with hanging(postgres_server):
            # None has a deadline. The first meets connections that were good.
            for call in (
                served.client.create_conversation(),
                ask(served.client, "Two?", made.conversation_id),
            ):
                with pytest.raises(SensoriumClientError) as lost:
                    await call
                assert reason(lost) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
                assert lost.value.retry_after_s
            assert (await ask(served.client, "Plain?")).text
        await ask(served.client, "Two?", made.conversation_id)
        assert len(await turns(served.client, made.conversation_id)) == 2


async def test_a_database_that_hangs_in_the_middle_of_a_turn(
    tmp_path: Path, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "CONNECT_TIMEOUT_S", 2)
    settings = make_settings(tmp_path, database_url=postgres_server.new_database())
    async with serving(settings) as served, asyncio.timeout(60):
        made = await served.client.create_conversation()
        with contextlib.ExitStack() as until_asked:
            async with served.model.answering(
                ask(served.client, "One?", made.conversation_id)
            ) as asked:
                until_asked.enter_context(hanging(postgres_server))
            with pytest.raises(SensoriumClientError) as lost:
                await asked
        assert reason(lost) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
        await ask(served.client, "Two?", made.conversation_id)
        assert len(await turns(served.client, made.conversation_id)) == 1


async def test_a_database_that_goes_away_costs_conversations_only(
    tmp_path: Path, postgres_server: Postgres
) -> None:
    settings = make_settings(tmp_path, database_url=postgres_server.new_database())
    async with serving(settings) as served:
        made = await served.client.create_conversation()
        await ask(served.client, "One?", made.conversation_id)
        postgres_server.stop()
        try:
            for call in (
                served.client.create_conversation(),
                ask(served.client, "Two?", made.conversation_id),
            ):
                with pytest.raises(SensoriumClientError) as lost:
                    await call
                assert reason(lost) == ("UNAVAILABLE", "DATABASE_UNAVAILABLE")
                assert "s3cret" not in str(lost.value)
            assert (await ask(served.client, "Plain?")).text
        finally:
            await asyncio.to_thread(postgres_server.start)
        await ask(served.client, "Two?", made.conversation_id)
        assert len(await turns(served.client, made.conversation_id)) == 2
