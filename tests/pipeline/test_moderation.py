"""A gateway with a moderation policy, in front of the stages that all walks share.

The pictures and the recording are harmless: thresholds are set low to have them blocked.
"""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import skimage.data
from PIL import Image, ImageEnhance
from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2
from sensorium_client.samples import Samples

from services.gateway.indexing import Indexer
from services.gateway.ledger import AssetEntry
from services.gateway.moderation import check_served
from services.gateway.policy import load_policies
from services.gateway.stage import build
from services.gateway.stages import Stages, connect
from services.runtime.calls import CallScope
from services.runtime.errors import InternalFailure, InvalidInput
from services.runtime.settings import Settings
from tests import known_media
from tests import media as tests_media
from tests.harness import make_settings, serve_stage
from tests.pipeline.platform import Platform, until
from tests.pipeline.streams import (
    Converse,
    Outcome,
    Told,
    Upload,
    asset,
    config,
    end,
    exchange,
    in_turn,
    in_upload,
    text,
    told_by_status,
)
from tests.voices import samples_of

# Known to the type checker only: at run time there is one stub class for both kinds of channel.
if TYPE_CHECKING:
    Stub = gateway_pb2_grpc.GatewayServiceAsyncStub
else:
    Stub = gateway_pb2_grpc.GatewayServiceStub
Rules = dict[str, tuple[str, float]]
OpenGateway = Callable[[Rules, Rules], AbstractAsyncContextManager[Stub]]

BLOCK_INSULTS: Rules = {"toxic": ("block", 0.9)}
BLOCK_PEOPLE: Rules = {"sexual": ("block", 0.01)}
FLAG_PEOPLE: Rules = {"sexual": ("flag", 0.01)}
INSULT = "You are such a stupid idiot."


def settings_of(platform: Platform, folder: Path, incoming: Rules, outgoing: Rules) -> Settings:
    """Settings of a gateway in front of the platform's stages, by its rules."""

    def plain(rules: Rules) -> dict[str, dict[str, object]]:
        return {name: {"action": do, "threshold": at} for name, (do, at) in rules.items()}

    file = folder / "moderation.json"
    policy = {"input": plain(incoming), "output": plain(outgoing)}
    file.write_text(json.dumps({"default": policy}))
    stages = ("ingest", "encode", "fuse", "generate", "search")
    addresses = {f"{stage}_address": platform.address for stage in stages}
    return make_settings(folder, moderation_file=file, **addresses)


@pytest.fixture
def gateway(platform: Platform, tmp_path: Path) -> OpenGateway:
    """Opens a gateway by its rules for what comes in and what goes out."""

    @contextlib.asynccontextmanager
    async def opened(incoming: Rules, outgoing: Rules) -> AsyncIterator[Stub]:
        settings = settings_of(platform, tmp_path, incoming, outgoing)
        async with serve_stage(build(settings), settings) as channel:
            yield Stub(channel)

    return opened


@pytest.fixture
async def stages(platform: Platform, tmp_path: Path) -> AsyncIterator[Stages]:
    """The stages as a gateway dials them."""
    connected = connect(settings_of(platform, tmp_path, {}, {}))
    yield connected
    await connected.close()


def portrait(quality: int, *, brightness: float = 1.0) -> bytes:
    """A person, which scores 0.03, and half as bright 0.006; no two tests send the same bytes."""
    file = io.BytesIO()
    person = Image.fromarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]
    ImageEnhance.Brightness(person).enhance(brightness).save(file, "JPEG", quality=quality)
    return file.getvalue()


async def upload(stub: Stub, *parts: object) -> Outcome:
    opening = Upload(config=gateway_pb2.UploadConfig())
    return await exchange(stub.StreamingUpload(), [opening, *in_upload(parts)])


async def store(stages: Stages, asset_id: str, content: bytes) -> None:
    """Store an asset as one whose server stopped before it was looked at."""
    request = ingest_pb2.StreamingIngestRequest
    start, *chunks, finish = asset(asset_id, content)
    call: Any = stages.ingest.StreamingIngest
    sent = [
        request(config=ingest_pb2.IngestConfig(store_only=True)),
        request(asset_start=start),
        *(request(chunk=chunk) for chunk in chunks),
        request(asset_finish=finish),
    ]
    assert (await exchange(call(), sent)).of("asset")


async def failing(*_: object) -> None:
    """Judges no stored asset."""
    raise InternalFailure("INFERENCE_FAILED", "A part of it cannot be judged.")


async def stored(stub: Stub, asset_id: str) -> media_pb2.Asset:
    page = await stub.ListAssets(gateway_pb2.ListAssetsRequest(page_size=1000))
    return next(asset for asset in page.assets if asset.asset_id == asset_id)


async def findings_of(stub: Stub, asset_id: str) -> list[media_pb2.ModerationFinding]:
    """What is kept with an asset, once something is."""
    found: list[media_pb2.ModerationFinding] = []

    async def kept() -> bool:
        found[:] = (await stored(stub, asset_id)).moderation_findings
        return bool(found)

    await until(kept, 60, f"a finding kept with {asset_id}")
    return found


async def refusal(call: Awaitable[object]) -> Told:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return told_by_status(refused.value)


async def hits_of(stub: Stub, asset_id: str) -> int:
    request = gateway_pb2.SearchRequest(text="an astronaut", asset_ids=[asset_id])
    return len((await stub.Search(request)).results)


async def test_a_blocked_question_ends_the_turn_before_its_answer(
    gateway: OpenGateway, platform: Platform
) -> None:
    async with gateway(BLOCK_INSULTS, {}) as stub:
        outcome = await exchange(stub.StreamingConverse(), [config(), text(INSULT), end()])
        assert outcome.error.code == "INVALID_ARGUMENT"
        assert (outcome.error.reason, outcome.error.subject) == ("CONTENT_BLOCKED", "text")
        assert "the question: toxic 1.00" in outcome.error.message
        (found,) = outcome.of("moderation")
        assert found.part == gateway_pb2.MODERATED_PART_QUESTION
        assert found.action == gateway_pb2.MODERATION_ACTION_BLOCK
        assert not outcome.of("token")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in stub.Ask(gateway_pb2.AskRequest(question=INSULT)):
                pass
        assert told_by_status(refused.value).subject == "question"
    await platform.at_rest(20)


async def test_a_blocked_picture_ends_the_turn_with_its_name(
    gateway: OpenGateway, platform: Platform
) -> None:
    picture = in_turn(asset("portrait-1", portrait(81), "portrait.jpg"))
    async with gateway(BLOCK_PEOPLE, {}) as stub:
        sent = [config(), text("Who is it?"), *picture, end()]
        outcome = await exchange(stub.StreamingConverse(), sent)
        assert (outcome.error.reason, outcome.error.subject) == ("CONTENT_BLOCKED", "portrait-1")
        assert "portrait.jpg: sexual 0.0" in outcome.error.message
        (found,) = outcome.of("moderation")
        assert found.locator.region.width_px > 0
        assert not outcome.of("token")
        assert await hits_of(stub, "portrait-1") == 0
    await platform.at_rest(20)


async def test_a_blocked_upload_is_not_indexed_then_or_later_and_the_others_are(
    gateway: OpenGateway, samples: Samples
) -> None:
    blocked = asset("portrait-2", portrait(82), "portrait.jpg")
    fine = asset("note-2", b"The tide was low on that day.", "note.txt")
    async with gateway(BLOCK_PEOPLE, {}) as stub:
        outcome = await upload(stub, *blocked, *fine)
        assert outcome.item_errors()["portrait-2"].reason == "CONTENT_BLOCKED"
        assert [e.asset_id for e in outcome.of("asset_indexed")] == ["note-2"]
        assert outcome.of("summary")[0].asset_count == 1
        assert {e.asset_id for e in outcome.of("asset")} == {"portrait-2", "note-2"}
        (found,) = await findings_of(stub, "portrait-2")
        assert (found.score.category, found.blocked) == ("sexual", True)
        assert found.locator.region.width_px == 512
        named = [config(), text("Who is it?"), end("portrait-2")]
        again = await exchange(stub.StreamingConverse(), named)
        assert (again.error.reason, again.error.subject) == ("CONTENT_BLOCKED", "portrait-2")
        assert "portrait.jpg: sexual 0.0" in again.error.message
        (told,) = again.of("moderation")
        assert told.locator == found.locator
        like = stub.Search(gateway_pb2.SearchRequest(asset_id="portrait-2"))
        assert (await refusal(like)).reason == "CONTENT_BLOCKED"
        caption = stub.Caption(gateway_pb2.CaptionRequest(asset_id="portrait-2"))
        assert (await refusal(caption)).reason == "CONTENT_BLOCKED"
        assert not (await stored(stub, "portrait-2")).indexed
        assert await hits_of(stub, "portrait-2") == 0
        assert await hits_of(stub, "note-2") > 0


async def test_blocked_words_in_a_recording_end_the_turn(
    gateway: OpenGateway, samples: Samples
) -> None:
    # By the name that the other walks give it: a gateway of another policy indexes it.
    content = samples.recording.read_bytes()
    recording = in_turn(asset("talk-3", content, samples.recording.name))
    async with gateway({"toxic": ("block", 0.06)}, {}) as stub:
        sent = [config(), text("What is said?"), *recording, end()]
        outcome = await exchange(stub.StreamingConverse(), sent)
    assert (outcome.error.reason, outcome.error.subject) == ("CONTENT_BLOCKED", "talk-3")
    assert "recording.ogg: toxic" in outcome.error.message
    (found,) = outcome.of("moderation")
    begin_ms = found.locator.span.start.ToMilliseconds()
    assert found.locator.span.end.ToMilliseconds() > begin_ms
    # Nor are they shown to who sent them.
    heard = outcome.of("transcript")
    assert all(words.span.end.ToMilliseconds() <= begin_ms for words in heard)


async def test_a_transcript_stops_before_blocked_words_and_tells_what_is_flagged(
    gateway: OpenGateway, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = gateway_pb2.TranscribeRequest(asset_id="talk-5")

    async def transcribed(
        rules: Rules,
    ) -> tuple[str, list[gateway_pb2.Moderation], Told | None]:
        words, flagged, error = "", [], None
        async with gateway(rules, {}) as stub:
            try:
                async for response in stub.Transcribe(request):
                    if response.HasField("moderation"):
                        flagged.append(response.moderation)
                    words += response.transcript.text
            except grpc.aio.AioRpcError as refused:
                error = told_by_status(refused)
        return words, flagged, error

    async with gateway({}, {}) as stub:
        await upload(stub, *asset("talk-5", samples.recording.read_bytes(), "recording.ogg"))
    spoken, _, _ = await transcribed({})
    heard, flagged, error = await transcribed({"toxic": ("flag", 0.06)})
    assert error is None
    assert heard == spoken
    assert {found.score.category for found in flagged} == {"toxic"}
    assert all(found.locator.HasField("span") for found in flagged)
    with monkeypatch.context() as patch:
        # What the words say is not all that may be blocked in what has a sound.
        patch.setattr("services.gateway.indexing.judge_stored", failing)
        heard, _, error = await transcribed(BLOCK_PEOPLE)
    assert error
    assert (heard, error.reason) == ("", "INFERENCE_FAILED")
    heard, _, error = await transcribed({"toxic": ("block", 0.06)})
    assert error
    assert error.reason == "CONTENT_BLOCKED"
    assert "recording.ogg: toxic" in error.message
    assert len(heard) < len(spoken)


async def test_a_query_is_judged_as_a_question_is(gateway: OpenGateway, platform: Platform) -> None:
    async with gateway({**BLOCK_INSULTS, **BLOCK_PEOPLE}, {}) as stub:
        told = await refusal(stub.Search(gateway_pb2.SearchRequest(text=INSULT)))
        assert (told.reason, told.subject) == ("CONTENT_BLOCKED", "text")
        assert "the query: toxic 1.00" in told.message
        told = await refusal(stub.Search(gateway_pb2.SearchRequest(media=portrait(85))))
        assert (told.reason, told.subject) == ("CONTENT_BLOCKED", "media")
        assert "media: sexual 0.0" in told.message
        part = gateway_pb2.QueryPart(text=INSULT, weight=0.5)
        mixed = gateway_pb2.SearchRequest(text="an astronaut", parts=[part])
        assert (await refusal(stub.Search(mixed))).subject == "parts[0].text"
        await stub.Search(gateway_pb2.SearchRequest(text="an astronaut"))
    await platform.at_rest(20)


async def test_a_query_for_look_alikes_is_judged_as_that_of_a_search_is(
    gateway: OpenGateway, platform: Platform, samples: Samples
) -> None:
    def like(media: bytes) -> gateway_pb2.FindNearDuplicatesRequest:
        return gateway_pb2.FindNearDuplicatesRequest(media=media)

    film = known_media.film(
        [known_media.Scene(8.0, picture="coffee.png", said="what the recording says")],
        lambda _: samples_of(samples.recording),
    )
    async with gateway({**BLOCK_PEOPLE, "toxic": ("block", 0.06)}, {}) as stub:
        told = await refusal(stub.FindNearDuplicates(like(portrait(87))))
        assert (told.reason, told.subject) == ("CONTENT_BLOCKED", "media")
        assert "media: sexual 0.0" in told.message
        told = await refusal(stub.FindNearDuplicates(like(film)))
        assert (told.reason, told.subject) == ("CONTENT_BLOCKED", "media")
        assert "media: toxic 0." in told.message
        await stub.FindNearDuplicates(like(tests_media.jpeg(320, 200)))
    async with gateway(FLAG_PEOPLE, {}) as stub:
        await stub.FindNearDuplicates(like(portrait(87)))
    await platform.at_rest(20)


async def test_what_the_policy_blocks_by_now_is_not_listed(
    gateway: OpenGateway, platform: Platform
) -> None:
    """It is indexed: an earlier policy let it in."""
    async with gateway(FLAG_PEOPLE, {}) as stub:
        outcome = await upload(stub, *asset("portrait-7", portrait(88), "portrait.jpg"))
        assert outcome.of("asset_indexed")
        assert await hits_of(stub, "portrait-7") == 1
    shown = gateway_pb2.SearchRequest(text="an astronaut", top_k=100)
    alike = gateway_pb2.FindNearDuplicatesRequest(media=portrait(89))
    for threshold, listed in ((0.9, True), (0.01, False)):
        async with gateway({"sexual": ("block", threshold)}, {}) as stub:
            found = {each.asset.asset_id for each in (await stub.Search(shown)).results}
            assert ("portrait-7" in found) == listed
            assert await hits_of(stub, "portrait-7") == listed
            assert (await stored(stub, "portrait-7")).indexed
            like = stub.FindNearDuplicates(
                gateway_pb2.FindNearDuplicatesRequest(asset_id="portrait-7")
            )
            if listed:
                await like
                duplicates = (await stub.FindNearDuplicates(alike)).near_duplicates
                assert "portrait-7" in {each.asset.asset_id for each in duplicates}
            else:
                assert (await refusal(like)).reason == "CONTENT_BLOCKED"


async def test_what_is_found_without_a_client_is_kept_with_the_asset(
    stub: Stub, platform: Platform, stages: Stages, tmp_path: Path
) -> None:
    """And what is blocked is not judged again before the policy changes."""
    await store(stages, "portrait-6", portrait(86))

    async def catch_up(rules: Rules) -> list[str]:
        """The assets that were looked at."""
        policies = load_policies(settings_of(platform, tmp_path, rules, {}).moderation_file)
        indexer, looked_at = Indexer(stages, policies), []
        submit = indexer.submit

        def noted(entry: AssetEntry, scope: CallScope, language: str = "") -> "asyncio.Task[int]":
            looked_at.append(entry.info.asset_id)
            return submit(entry, scope, language)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(indexer, "submit", noted)
            await indexer.catch_up(CallScope())
        return looked_at

    assert "portrait-6" in await catch_up(BLOCK_PEOPLE)
    kept = await stored(stub, "portrait-6")
    assert not kept.indexed
    assert [found.blocked for found in kept.moderation_findings] == [True]
    assert "portrait-6" not in await catch_up(BLOCK_PEOPLE)
    assert "portrait-6" in await catch_up(FLAG_PEOPLE)
    kept = await stored(stub, "portrait-6")
    assert kept.indexed
    (found,) = kept.moderation_findings
    assert (found.score.category, found.blocked) == ("sexual", False)
    assert found.score.score == pytest.approx(0.03, abs=0.01)
    assert found.locator.region.width_px == 512


async def test_a_rule_is_applied_to_what_was_stored_before_it_was_made(
    gateway: OpenGateway, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = asyncio.Event()
    catch_up_all = Indexer.catch_up_all

    async def later(indexer: Indexer) -> None:
        await going_on.wait()
        await catch_up_all(indexer)

    async def found(stub: Stub) -> set[str]:
        words = gateway_pb2.SearchRequest(text="the boat leaves at nine", asset_ids=stored_ids)
        picture = gateway_pb2.FindNearDuplicatesRequest(
            media=portrait(91, brightness=0.5), top_k=100
        )
        results = (await stub.Search(words)).results
        alike = (await stub.FindNearDuplicates(picture)).near_duplicates
        listed = {each.asset.asset_id for each in results if each.asset.asset_id != "portrait-10"}
        return listed | {each.asset.asset_id for each in alike} & stored_ids

    async def asked_about(stub: Stub, asset_id: str) -> Outcome:
        named = [config(), text("What is it about?"), end(asset_id)]
        return await exchange(stub.StreamingConverse(), named)

    stored_ids = {"note-10", "insult-10", "portrait-10", "talk-10"}
    talk = tests_media.wav(samples_of(samples.recording))
    async with gateway({}, {}) as stub:
        outcome = await upload(
            stub,
            *asset("note-10", b"The boat leaves at nine.", "note.txt"),
            *asset("insult-10", f"The boat leaves at ten. {INSULT}".encode(), "insult.txt"),
            *asset("portrait-10", portrait(90), "portrait.jpg"),
            *asset("talk-10", talk, "talk.wav"),
        )
        assert len(outcome.of("asset_indexed")) == len(stored_ids)
        assert await found(stub) == stored_ids
    monkeypatch.setattr(Indexer, "catch_up_all", later)
    async with gateway({"sexual": ("block", 0.01), "toxic": ("block", 0.06)}, {}) as stub:
        # Nothing is shown of which it is not known.
        assert await found(stub) == set()
        like = gateway_pb2.SearchRequest(asset_id="portrait-10")
        told = await refusal(stub.Search(like))
        assert (told.code, told.reason) == ("UNAVAILABLE", "CONTENT_NOT_JUDGED")
        # A question that names it waits until it is.
        outcome = await asked_about(stub, "portrait-10")
        assert (outcome.error.reason, outcome.error.subject) == ("CONTENT_BLOCKED", "portrait-10")
        assert outcome.of("moderation")[0].locator.region.width_px == 512
        assert (await refusal(stub.Search(like))).reason == "CONTENT_BLOCKED"
        assert (await asked_about(stub, "note-10")).of("turn_complete")
        assert await found(stub) == {"note-10"}
        assert not (await stored(stub, "talk-10")).moderation_findings
        going_on.set()
        (kept,) = await findings_of(stub, "talk-10")
        assert (kept.score.category, kept.blocked) == ("toxic", True)
        assert kept.locator.HasField("span")
        (kept,) = await findings_of(stub, "insult-10")
        assert kept.locator.HasField("chars")
        assert await found(stub) == {"note-10"}
    going_on.clear()
    async with gateway({"sexual": ("flag", 0.01), "toxic": ("block", 0.9)}, {}) as stub:
        # How it scores is known by now, so another threshold is at once as good.
        assert await found(stub) == stored_ids - {"insult-10"}
        going_on.set()

        async def told_again() -> bool:
            found = (await stored(stub, "portrait-10")).moderation_findings
            return [each.blocked for each in found] == [False]

        await until(told_again, 60, "the finding of the rule as it is now")


async def test_bytes_that_are_known_are_indexed_where_a_rule_that_flags_cannot_judge_them(
    gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = b"The ferry leaves at two."
    async with gateway({}, {}) as stub:
        await upload(stub, *asset("note-12", note, "note.txt"))
    monkeypatch.setattr("services.gateway.indexing.judge_stored", failing)
    async with gateway({"toxic": ("flag", 0.9)}, {}) as stub:
        outcome = await upload(stub, *asset("note-13", note, "again.txt"))
        assert outcome.of("asset_indexed")
        assert not outcome.of("item_error")
    async with gateway(BLOCK_INSULTS, {}) as stub:
        outcome = await upload(stub, *asset("note-14", note, "again.txt"))
        (failed,) = outcome.of("item_error")
        assert failed.error.reason == "INFERENCE_FAILED"


async def test_a_conversation_goes_on_without_what_a_new_rule_blocks(
    gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def later(_: Indexer) -> None:
        await asyncio.Event().wait()

    async def asked(stub: Stub, question: str, *asset_ids: str) -> Outcome:
        answer = gateway_pb2.AnswerOptions(max_tokens=8)
        settings = gateway_pb2.ConverseConfig(conversation_id=conversation_id, answer=answer)
        sent = [Converse(config=settings), text(question), end(*asset_ids)]
        return await exchange(stub.StreamingConverse(), sent)

    def evidence_of(outcome: Outcome) -> set[str]:
        weighed = [each for told in outcome.of("evidence") for each in told.evidence]
        return {each.evidence.asset_id for each in weighed}

    recalled = [config(recall=True), text("When does the boat leave?"), end()]
    insult = f"The boat leaves at noon. {INSULT}".encode()
    async with gateway({}, {}) as stub:
        await upload(
            stub,
            *asset("note-11", b"The train leaves at one.", "note.txt"),
            *asset("insult-11", insult, "insult.txt"),
        )
        made = await stub.CreateConversation(gateway_pb2.CreateConversationRequest())
        conversation_id = made.conversation.conversation_id
        outcome = await asked(stub, "When does the boat leave?", "note-11", "insult-11")
        assert evidence_of(outcome) == {"note-11", "insult-11"}
        outcome = await exchange(stub.StreamingConverse(), recalled)
        assert "insult-11" in evidence_of(outcome)
    monkeypatch.setattr(Indexer, "catch_up_all", later)
    async with gateway(BLOCK_INSULTS, {}) as stub:
        # Nothing is recalled of which it is not known.
        outcome = await exchange(stub.StreamingConverse(), recalled)
        assert outcome.of("turn_complete")
        assert not {"note-11", "insult-11"} & evidence_of(outcome)
        with monkeypatch.context() as patch:
            patch.setattr("services.gateway.indexing.judge_stored", failing)
            outcome = await asked(stub, "And when does the train leave?")
            assert outcome.of("turn_complete")
            assert not evidence_of(outcome)
        outcome = await asked(stub, "And when does the train leave?")
        assert outcome.of("turn_complete")
        assert evidence_of(outcome) == {"note-11"}


async def test_no_answer_rests_on_a_picture_of_which_a_part_would_be_blocked(
    gateway: OpenGateway, platform: Platform
) -> None:
    # A black tile scores 0.067, and the view of the whole, with a person in a corner, 0.013.
    night = Image.new("RGB", (3840, 2160), "black")
    night.paste(Image.fromarray(skimage.data.astronaut()).resize((700, 700)), (100, 100))  # type: ignore[no-untyped-call]

    async def asked(stub: Stub, asset_id: str, quality: int) -> Outcome:
        file = io.BytesIO()
        night.save(file, "JPEG", quality=quality)
        sent = in_turn(asset(asset_id, file.getvalue(), "night.jpg"))
        question = [config(), text("What is shown?"), *sent, end()]
        return await exchange(stub.StreamingConverse(), question)

    async with gateway({"sexual": ("block", 0.04)}, {}) as stub:
        outcome = await asked(stub, "night-8", 80)
        assert (outcome.error.reason, outcome.error.subject) == ("CONTENT_BLOCKED", "night-8")
        assert not outcome.of("token")
        (found,) = outcome.of("moderation")
        assert 0 < found.locator.region.width_px < 3840
    async with gateway({"sexual": ("flag", 0.04)}, {}) as stub:
        outcome = await asked(stub, "night-9", 81)
        assert outcome.of("token")
        # No one waited for the tiles: what they show was flagged after the answer.
        assert not outcome.of("moderation")
        (kept,) = await findings_of(stub, "night-9")
        assert 0 < kept.locator.region.width_px < 3840
        assert (kept.score.category, kept.blocked) == ("sexual", False)
    await platform.at_rest(20)


async def test_a_policy_that_no_classifier_can_apply_stops_the_start(stages: Stages) -> None:
    await check_served(stages, ["sexual", "toxic"])
    with pytest.raises(InvalidInput, match=r"CATEGORY_UNKNOWN.* violence"):
        await check_served(stages, ["sexual", "violence"])


async def test_a_flag_is_told_and_the_turn_goes_on(gateway: OpenGateway) -> None:
    picture = in_turn(asset("portrait-4", portrait(84), "portrait.jpg"))
    async with gateway(FLAG_PEOPLE, {}) as stub:
        sent = [config(), text("Who is it?"), *picture, end()]
        outcome = await exchange(stub.StreamingConverse(), sent)
        (found,) = outcome.of("moderation")
        assert (found.asset_id, found.score.category) == ("portrait-4", "sexual")
        assert found.action == gateway_pb2.MODERATION_ACTION_FLAG
        assert outcome.of("turn_complete")
        assert outcome.of("asset_indexed")
        assert await hits_of(stub, "portrait-4") > 0


async def test_an_answer_is_held_back_by_the_sentence_and_stopped(
    gateway: OpenGateway, platform: Platform
) -> None:
    question = gateway_pb2.AskRequest(
        question="Name the capitals of France and of Italy, each in a sentence.",
        answer=gateway_pb2.AnswerOptions(max_tokens=48),
    )

    async def answer(outgoing: Rules) -> tuple[list[str], gateway_pb2.TurnComplete]:
        async with gateway({}, outgoing) as stub:
            seen = [event async for event in stub.Ask(question)]
        tokens = [event.token.text for event in seen if event.HasField("token")]
        return tokens, seen[-1].turn_complete

    free, _ = await answer({})
    held, complete = await answer({"toxic": ("block", 0.95)})
    assert "".join(held) == "".join(free)
    assert len(held) < len(free)
    assert complete.finish_reason != gateway_pb2.TURN_FINISH_REASON_CONTENT_FILTER
    stopped, complete = await answer({"toxic": ("block", 0.0001)})
    assert stopped == []
    assert complete.finish_reason == gateway_pb2.TURN_FINISH_REASON_CONTENT_FILTER
    assert complete.usage.completion_token_count > 0
    await platform.at_rest(20)


def test_a_wrong_policy_file_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "moderation.json"
    file.write_text('{"default": {"input": {"sexual": {"action": "ban"}}}}')
    with pytest.raises(InvalidInput, match=r"default\.input\.sexual\.action"):
        build(make_settings(tmp_path, moderation_file=file))
