"""A gateway with a moderation policy, in front of the stages that all walks share.

The pictures and the recording are harmless: thresholds are set low to have them blocked.
"""

import contextlib
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import skimage.data
from PIL import Image
from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from sensorium_client.samples import Samples

from services.gateway.stage import build
from services.runtime.errors import InvalidInput
from tests.harness import make_settings, serve_stage
from tests.pipeline.platform import Platform
from tests.pipeline.streams import (
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


@pytest.fixture
def gateway(platform: Platform, tmp_path: Path) -> OpenGateway:
    """Opens a gateway by its rules for what comes in and what goes out."""

    def plain(rules: Rules) -> dict[str, dict[str, object]]:
        return {name: {"action": do, "threshold": at} for name, (do, at) in rules.items()}

    @contextlib.asynccontextmanager
    async def opened(incoming: Rules, outgoing: Rules) -> AsyncIterator[Stub]:
        file = tmp_path / "moderation.json"
        policy = {"input": plain(incoming), "output": plain(outgoing)}
        file.write_text(json.dumps({"default": policy}))
        stages = ("ingest", "encode", "fuse", "generate", "search")
        addresses = {f"{stage}_address": platform.address for stage in stages}
        settings = make_settings(tmp_path, moderation_file=file, **addresses)
        async with serve_stage(build(settings), settings) as channel:
            yield Stub(channel)

    return opened


def portrait(quality: int) -> bytes:
    """A person, which scores 0.03; no two tests send the same bytes."""
    file = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).save(file, "JPEG", quality=quality)  # type: ignore[no-untyped-call]
    return file.getvalue()


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
    await platform.at_rest(5)


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
    await platform.at_rest(5)


async def test_a_blocked_upload_is_not_indexed_then_or_later_and_the_others_are(
    gateway: OpenGateway, samples: Samples
) -> None:
    blocked = in_upload(asset("portrait-2", portrait(82), "portrait.jpg"))
    fine = in_upload(asset("note-2", b"The tide was low on that day.", "note.txt"))
    opening = Upload(config=gateway_pb2.UploadConfig())
    async with gateway(BLOCK_PEOPLE, {}) as stub:
        outcome = await exchange(stub.StreamingUpload(), [opening, *blocked, *fine])
        assert outcome.item_errors()["portrait-2"].reason == "CONTENT_BLOCKED"
        assert [e.asset_id for e in outcome.of("asset_indexed")] == ["note-2"]
        assert outcome.of("summary")[0].asset_count == 1
        assert {e.asset_id for e in outcome.of("asset")} == {"portrait-2", "note-2"}
        # Stored as it is, it is judged again by whoever wants to use it.
        named = [config(), text("Who is it?"), end("portrait-2")]
        again = await exchange(stub.StreamingConverse(), named)
        assert (again.error.reason, again.error.subject) == ("CONTENT_BLOCKED", "portrait-2")
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
    assert found.locator.span.end.ToMilliseconds() > 0


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
    await platform.at_rest(5)


def test_a_wrong_policy_file_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "moderation.json"
    file.write_text('{"default": {"input": {"sexual": {"action": "ban"}}}}')
    with pytest.raises(InvalidInput, match=r"default\.input\.sexual\.action"):
        build(make_settings(tmp_path, moderation_file=file))
