"""What is kept of a turn besides its words: enough to show it again, and no more than that."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from alembic import command
from alembic.config import Config
from sensorium.media.v1 import evidence_pb2
from sensorium_client.events import Citation, EvidenceWeights, Transcript, TurnComplete
from sqlalchemy import Connection, text

from services.gateway.conversations.details import (
    EVIDENCE_BYTES_MAX,
    EVIDENCE_COUNT_MAX,
    kept_evidence,
)
from services.gateway.conversations.records import OfAsset, TurnRecord
from services.gateway.conversations.store import ConversationStore
from services.gateway.database.engine import MIGRATIONS, Database
from tests.contract.gateway.conversing import OPTIONS, STORY, Served, serving
from tests.harness import make_settings
from tests.media import tone, wav

QUESTION = "How tall is the lighthouse?"


# --- the store --------------------------------------------------------------------------------


def turn(*evidence: OfAsset) -> TurnRecord:
    return TurnRecord("Why?", "So.", (), (), 1, 1, 2, evidence=evidence, details=b"\0details")


async def kept(store: ConversationStore, conversation_id: str) -> tuple[OfAsset, ...]:
    _, (found,) = await store.turns(
        "acme", conversation_id, 10, 0, newest_first=False, with_evidence=True
    )
    return found.evidence


async def test_evidence_is_kept_with_its_turn_and_goes_with_its_asset_and_its_conversation(
    database: Database, store: ConversationStore
) -> None:
    made = await store.create("acme", "")
    first, second, third = (OfAsset(name, name.encode()) for name in ("one", "two", "one"))
    await store.append("acme", made.conversation_id, 0, turn(first, second, third))
    assert await kept(store, made.conversation_id) == (first, second, third)
    _, (found,) = await store.turns("acme", made.conversation_id, 10, 0, newest_first=False)
    assert (found.details, found.evidence) == (b"\0details", ())

    await store.forget_asset("other", "one")
    assert await kept(store, made.conversation_id) == (first, second, third)
    await store.forget_asset("acme", "one")
    assert await kept(store, made.conversation_id) == (second,)
    await store.delete("acme", made.conversation_id)
    async with database.transaction() as connection:
        left = await connection.execute(text("SELECT count(*) FROM conversation_evidence"))
        assert left.scalar_one() == 0


async def test_turns_of_before_are_read_and_go_on(url: str, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, database_url=url)
    settings.data_dir.mkdir(parents=True)
    database = Database(settings)

    def make_first(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "conversations_0001")

    async with database.transaction() as connection:
        await connection.run_sync(make_first)
        await connection.execute(
            text("INSERT INTO conversations VALUES ('conv_1', 'acme', 'Old', 1, 1, 1)")
        )
        await connection.execute(
            text("INSERT INTO conversation_turns VALUES ('conv_1', 1, 'Why?', 'So.', 1, 1, 1)")
        )
    await database.open()
    store = ConversationStore(database)
    await store.append("acme", "conv_1", 1, turn(OfAsset("one", b"1")))
    _, (old, new) = await store.turns(
        "acme", "conv_1", 10, 0, newest_first=False, with_evidence=True
    )
    assert (old.question, old.details, old.evidence) == ("Why?", b"", ())
    assert new.evidence == (OfAsset("one", b"1"),)
    await database.close()


def piece(
    number: int, weight: float, *, in_context: bool = False, length: int = 1
) -> evidence_pb2.WeightedEvidence:
    evidence = evidence_pb2.Evidence(asset_id="a", text="x" * length)
    return evidence_pb2.WeightedEvidence(
        evidence=evidence, citation_key=str(number), weight=weight, in_context=in_context
    )


def keys(evidence: list[evidence_pb2.WeightedEvidence]) -> list[int]:
    pieces = map(
        evidence_pb2.WeightedEvidence.FromString, (e.data for e in kept_evidence(evidence))
    )
    return [int(each.citation_key) for each in pieces]


def test_of_much_evidence_what_was_read_and_what_weighs_most_is_kept_in_its_order() -> None:
    weighs_more_later = [piece(number, number / 300) for number in range(299)]
    read = piece(999, 0.0, in_context=True)
    most = range(299 - (EVIDENCE_COUNT_MAX - 1), 299)
    assert keys([read, *weighs_more_later]) == [999, *most]
    assert keys([*weighs_more_later, read]) == [*most, 999]

    long = [piece(number, 1 / (1 + number), length=EVIDENCE_BYTES_MAX // 4) for number in range(9)]
    assert keys(long) == [0, 1, 2]
    assert keys([]) == []


# --- over HTTP --------------------------------------------------------------------------------


async def read_turn(http: httpx2.AsyncClient, conversation_id: str) -> dict[str, Any]:
    """The one turn of a conversation."""
    answer = await http.get(f"/v1/conversations/{conversation_id}?with_evidence=true")
    (told,) = answer.json()["turns"]
    return dict(told)


async def test_a_turn_is_told_as_it_was_until_its_media_is_deleted(tmp_path: Path) -> None:
    story = tmp_path / "story.txt"
    story.write_text(STORY)
    settings = make_settings(tmp_path)
    async with (
        serving(settings) as served,
        httpx2.AsyncClient(base_url=served.http_url) as http,
    ):
        made = await served.client.create_conversation()
        asked = served.client.ask(
            QUESTION, [str(story)], options=OPTIONS, conversation_id=made.conversation_id
        )
        events = [event async for event in asked]
        (weighed,) = [event for event in events if isinstance(event, EvidenceWeights)]
        (complete,) = [event for event in events if isinstance(event, TurnComplete)]
        told = await read_turn(http, made.conversation_id)
        assert [(each["key"], each["text"], each["weight"]) for each in told["evidence"]] == [
            (each.citation_key, each.text, pytest.approx(each.weight)) for each in weighed.evidence
        ]
        assert STORY in told["evidence"][0]["text"]
        assert told["modality_weights"] == [{"modality": "text", "weight": 1.0}]
        assert told["usage"]["completion_tokens"] == complete.usage.completion_token_count
        assert told["media_bytes"] == len(STORY)
        stages = {each["stage"] for each in told["timings"]["stages"]}
        assert stages == {each.stage for each in complete.timings.stages}
        trace = (await http.get(f"/v1/traces/{told['trace_id']}")).json()["spans"]
        assert "gateway.turn" in {
            each["name"] for each in trace if each["spanId"] == told["span_id"]
        }
        # Only who asks for the evidence gets it.
        short = await http.get(f"/v1/conversations/{made.conversation_id}")
        assert short.json()["turns"] == [{**told, "evidence": [], "modality_weights": []}]

    async with (
        serving(settings) as served,
        httpx2.AsyncClient(base_url=served.http_url) as http,
    ):
        assert await read_turn(http, made.conversation_id) == told
        forgotten = await http.get(f"/v1/traces/{told['trace_id']}")
        assert forgotten.json()["error"]["code"] == "TRACE_UNKNOWN"
        (asset_id,) = {e.evidence.asset_id for e in events if isinstance(e, Citation)}
        await served.client.delete(asset_id)
        bare = await read_turn(http, made.conversation_id)
        assert (bare["question"], bare["answer"]) == (told["question"], told["answer"])
        emptied: dict[str, list[object]] = {
            "asset_ids": [],
            "citations": [],
            "evidence": [],
            "modality_weights": [],
        }
        assert bare == {**told, **emptied}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(make_settings(tmp_path)) as running:
        yield running


async def test_a_transcript_is_read_as_it_was_told_and_goes_with_its_asset(
    served: Served, tmp_path: Path
) -> None:
    sound, story = tmp_path / "sound.wav", tmp_path / "story.txt"
    sound.write_bytes(wav(tone(2.0)))
    story.write_text(STORY)
    events = [
        event async for event in served.client.ask("What is said?", [str(sound)], options=OPTIONS)
    ]
    heard = [event for event in events if isinstance(event, Transcript)]
    assert [each.text for each in heard] == ["hello"]
    asset_id = heard[0].asset_id
    async with httpx2.AsyncClient(base_url=served.http_url) as http:
        read = await http.get(f"/v1/files/{asset_id}/transcript")
        assert read.json()["data"] == [
            {"start_s": each.span.start_s, "end_s": each.span.end_s, "text": each.text}
            for each in heard
        ]
        # The same bytes by another id, and bytes without sound.
        for file, lines in ((sound, 1), (story, 0)):
            stored = await http.post("/v1/files", files={"file": file.open("rb")})
            read = await http.get(f"/v1/files/{stored.json()['id']}/transcript")
            assert len(read.json()["data"]) == lines
        await served.client.delete(asset_id)
        gone = await http.get(f"/v1/files/{asset_id}/transcript")
        assert gone.json()["error"]["code"] == "ASSET_NOT_FOUND"
