"""The command as its user sees it: what it prints, and how it ends."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.gateway.v1 import usage_pb2
from sensorium.media.v1 import media_pb2, moderation_pb2

from tests.unit.client.fake_gateway import ConverseRequests, ConverseResponses, FakeGateway
from tests.unit.client.fake_messages import Context, locator


async def start(
    address: str, *arguments: str, folder: Path | None = None
) -> asyncio.subprocess.Process:
    """Start ``sensorium`` in a process of its own, as a shell does."""
    # A test run in the background ignores the interrupt, and its children would with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = {**os.environ, "SENSORIUM_SERVER": address, "COLUMNS": "100", "TERM": "dumb"}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sensorium_client.cli",
        *arguments,
        env=environment,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(
    address: str, *arguments: str, folder: Path | None = None
) -> tuple[int | None, str, str]:
    """Exit code, output and errors of a command, run in a folder."""
    process = await start(address, *arguments, folder=folder)
    out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


def json_lines(text: str) -> list[dict[str, Any]]:
    """Each line as an object."""
    return [json.loads(line) for line in text.splitlines()]


async def test_ask_prints_answer_citation_and_time(address: str, tmp_path: Path) -> None:
    file = tmp_path / "film.mp4"
    file.write_bytes(b"film")
    code, out, error = await run(address, "ask", "What is it?", str(file), "--trace")
    assert (code, error) == (0, "")
    for expected in ("A cat.", "[1]", "film.mp4", "0:01.5", "tabby cat", "0.70"):
        assert expected in out
    assert "first token 0.40 s" in out
    assert "encode.batch" in out
    assert "\x1b" not in out


async def test_ask_json_gives_one_typed_event_a_line(address: str) -> None:
    code, out, _ = await run(address, "ask", "What is it?", "--json")
    assert code == 0
    kinds = [line["type"] for line in json_lines(out)]
    assert kinds == ["ready", "evidence", "token", "token", "citation", "turn_complete", "summary"]


async def test_ask_passes_its_options(address: str, gateway: FakeGateway) -> None:
    arguments = ("--recall", "--max-tokens", "9", "--temperature", "0.5", "--language", "de")
    assert (await run(address, "ask", "?", *arguments))[0] == 0
    config = gateway.configs[0]
    assert (config.answer.recall, config.answer.max_tokens, config.answer.temperature) == (
        True,
        9,
        0.5,
    )
    assert config.perception.language == "de"


async def test_interrupted_ask_ends_the_call(address: str, gateway: FakeGateway) -> None:
    async def endless(
        gateway: FakeGateway, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        yield pb.StreamingConverseResponse(token=pb.TokenChunk(text="once upon a time"))
        await asyncio.Event().wait()

    gateway.converse = endless
    process = await start(address, "ask", "?")
    assert process.stdout is not None
    await process.stdout.readexactly(len("once"))
    process.send_signal(signal.SIGINT)
    _, error = await process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error.decode()
    await asyncio.wait_for(gateway.ended.wait(), 60)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("search", "lighthouse"), "harbour.mp4"),
        (("transcribe", "FILE"), "The river is wide."),
        (("caption", "FILE"), "A cat."),
    ],
)
async def test_helpers_print_their_result(
    address: str, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    file = tmp_path / "file.mp4"
    file.write_bytes(b"file")
    words = [str(file) if word == "FILE" else word for word in arguments]
    code, out, _ = await run(address, *words)
    assert code == 0
    assert expected in out
    code, out, _ = await run(address, *words, "--json")
    assert code == 0
    assert json_lines(out)


async def test_search_writes_a_small_picture_of_each_moment(address: str, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    code, _, _ = await run(address, "search", "lighthouse", "--thumbnails", str(folder))
    assert code == 0
    assert [path.name for path in folder.iterdir()] == ["01-1.jpg"]
    assert (folder / "01-1.jpg").read_bytes() == b"jpeg"


@pytest.mark.parametrize(
    ("format_", "beginning"),
    [("srt", "1\n00:00:"), ("vtt", "WEBVTT\n\n00:00:"), ("json", '{\n  "text": "')],
)
async def test_a_transcript_is_written_in_the_format_asked_for(
    address: str, tmp_path: Path, format_: str, beginning: str
) -> None:
    file = tmp_path / "file.mp4"
    file.write_bytes(b"file")
    code, out, _ = await run(address, "transcribe", str(file), "--format", format_)
    assert code == 0
    assert out.startswith(beginning)
    assert "The river is wide." in out
    code, _, error = await run(address, "transcribe", str(file), "--format", format_, "--json")
    assert code == 2
    assert "--format" in error


async def test_ask_passes_how_frames_are_chosen(address: str, gateway: FakeGateway) -> None:
    arguments = ("--frames", "scene", "--max-frames", "7", "--frame-rate", "0.5")
    assert (await run(address, "ask", "?", *arguments))[0] == 0
    sampling = gateway.configs[0].perception.frame_sampling
    assert sampling.method == media_pb2.FRAME_SAMPLING_METHOD_SCENE
    assert (sampling.frame_count_max, sampling.frame_rate_hz) == (7, 0.5)


async def test_absent_server_is_one_line_and_a_hint() -> None:
    code, out, error = await run("127.0.0.1:1", "ask", "?")
    assert (code, out) == (1, "")
    first, second = error.splitlines()
    assert first == "error: No server answers on 127.0.0.1:1."
    assert second.startswith("hint:")
    code, out, _ = await run("127.0.0.1:1", "ask", "?", "--json")
    assert code == 1
    assert [line["type"] for line in json_lines(out)] == ["error"]


async def test_wrong_usage_exits_with_two(address: str, tmp_path: Path) -> None:
    absent = await run(address, "ask", "?", str(tmp_path / "absent.jpg"))
    assert absent[0] == 2
    assert "does not exist" in absent[2]
    ambiguous = await run(address, "search")
    assert ambiguous[0] == 2
    assert "at least one" in ambiguous[2]


COMMANDS = (
    *("ask", "ingest", "assets", "search", "duplicates", "download", "delete", "transcribe"),
    *("caption", "enqueue", "worker", "serve", "usage", "fsck", "doctor", "demo"),
)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    from sensorium_client.cli import app
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    if name not in ("doctor", "demo"):
        assert f"sensorium {name} " in result.output


async def test_delete_tells_of_each_asset_what_became_of_it(
    address: str, gateway: FakeGateway
) -> None:
    gateway.stored["known"] = media_pb2.Asset(asset_id="known")
    code, out, error = await run(address, "delete", "known", "unknown")
    assert (code, error) == (1, "")
    assert out.splitlines() == ["deleted known", "unknown: there is no such asset"]
    code, out, _ = await run(address, "delete", "unknown", "--json")
    (told,) = json_lines(out)
    assert (code, told["type"], told["asset_id"]) == (1, "item_failed", "unknown")


async def test_fsck_ends_well_only_if_nothing_is_wrong_any_more(address: str) -> None:
    code, out, error = await run(address, "fsck")
    assert (code, error) == (1, "")
    assert "2 faults, 0 mended, 2 left" in out
    code, out, _ = await run(address, "fsck", "--repair")
    assert code == 0
    assert "orphan a sentence (mended)" in out
    assert "bytes_missing a sentence (asset deleted: send it again)" in out
    code, out, _ = await run(address, "fsck", "--deep", "--repair", "--json")
    assert code == 1
    assert [line["type"] for line in json_lines(out)] == ["finding"] * 3 + ["summary"]


async def test_usage_is_a_table_with_a_sum_or_an_object_a_line(
    address: str, gateway: FakeGateway
) -> None:
    code, out, _ = await run(address, "usage", "--since", "7d")
    assert code == 0
    assert out.strip().startswith("day")
    for words in ("2026-11-23", "1:02:05", "5.0 MB", "0.2500", "all", "2,400", "2:04:10", "0.5000"):
        assert words in out
    arguments = ("--by", "tenant", "--all-tenants", "--json")
    _, out, _ = await run(address, "usage", *arguments)
    lines = json_lines(out)
    assert [line["key"] for line in lines] == ["acme", ""]
    assert lines[0]["type"] == "usage"
    assert (lines[0]["media_s"], lines[0]["cost"], lines[0]["currency"]) == (3725.0, 0.25, "EUR")
    week, month = gateway.usage_requests
    assert (week.all_tenants, month.all_tenants) == (False, True)
    assert month.grouping == usage_pb2.USAGE_GROUPING_TENANT
    assert week.since.seconds - month.since.seconds > 22 * 86_400
    assert (await run(address, "usage", "--since", "yesterday"))[0] == 2


async def test_ask_shows_what_was_flagged_and_why_the_answer_stopped(
    address: str, gateway: FakeGateway
) -> None:
    async def flagged(
        gateway: FakeGateway, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        response = pb.StreamingConverseResponse
        info = media_pb2.AssetInfo(asset_id="a1", name="photo.jpg")
        yield response(asset_info=info)
        found = pb.Moderation(
            part=pb.MODERATED_PART_ASSET,
            asset_id="a1",
            score=moderation_pb2.ModerationScore(category="sexual", score=0.5),
            action=pb.MODERATION_ACTION_FLAG,
        )
        yield response(moderation=found)
        reason = pb.TURN_FINISH_REASON_CONTENT_FILTER
        yield response(turn_complete=pb.TurnComplete(finish_reason=reason))
        yield response(summary=pb.ConverseSummary(turn_count=1))

    gateway.converse = flagged
    code, _, error = await run(address, "ask", "?")
    assert code == 0
    assert "flagged: photo.jpg (whole): sexual 0.50" in error
    assert "stopped by the server's content filter" in error
    _, out, _ = await run(address, "ask", "?", "--json")
    told = {line["type"]: line for line in json_lines(out)}
    found = told["moderation"]
    assert (found["part"], found["asset_id"], found["action"]) == ("asset", "a1", "flag")
    assert (found["category"], found["score"]) == ("sexual", 0.5)
    assert told["turn_complete"]["finish_reason"] == "content_filter"


async def test_assets_tell_what_can_be_searched_and_what_is_flagged_or_blocked(
    address: str, gateway: FakeGateway
) -> None:
    def found(category: str, score: float, *, blocked: bool) -> media_pb2.ModerationFinding:
        return media_pb2.ModerationFinding(
            score=moderation_pb2.ModerationScore(category=category, score=score),
            locator=locator(62.5, 64.0),
            blocked=blocked,
        )

    def stored(name: str, *findings: media_pb2.ModerationFinding, indexed: bool = True) -> None:
        gateway.stored[name] = media_pb2.Asset(
            asset_id=f"id-{name}",
            info=media_pb2.AssetInfo(name=name),
            indexed=indexed,
            moderation_findings=findings,
        )

    code, out, _ = await run(address, "assets")
    assert code == 0
    assert "Nothing is stored" in out
    stored("fine.jpg")
    stored("odd.mp4", found("toxic", 0.75, blocked=False))
    stored("bad.mp4", found("sexual", 0.9, blocked=True), indexed=False)
    stored("new.txt", indexed=False)
    _, out, _ = await run(address, "assets", "--count", "3")
    assert "indexed" in out
    assert "flagged: toxic 0.75 (1:02.5 – 1:04.0)" in " ".join(out.split())
    assert "blocked: sexual 0.90 (1:02.5 – 1:04.0)" in " ".join(out.split())
    assert "new.txt" not in out
    long_id = "0123456789abcdef" * 4
    gateway.stored = {"a": media_pb2.Asset(asset_id=long_id, indexed=True), **gateway.stored}
    _, narrow, _ = await run(address, "assets")
    assert long_id in narrow
    assert "indexed" in narrow
    del gateway.stored["a"]
    _, out, _ = await run(address, "assets", "--json")
    states = {
        line["asset"]["description"]["name"]: (
            line["asset"]["indexed"],
            [each["blocked"] for each in line["asset"]["moderation_findings"]],
        )
        for line in json_lines(out)
    }
    assert states == {
        "fine.jpg": (True, []),
        "odd.mp4": (True, [False]),
        "bad.mp4": (False, [True]),
        "new.txt": (False, []),
    }


async def test_transcribe_tells_what_is_flagged_beside_the_words(
    address: str, gateway: FakeGateway, tmp_path: Path
) -> None:
    (tmp_path / "talk.ogg").write_bytes(b"sound")
    gateway.flagged = pb.Moderation(
        part=pb.MODERATED_PART_ASSET,
        asset_id="a1",
        score=moderation_pb2.ModerationScore(category="toxic", score=0.75),
        action=pb.MODERATION_ACTION_FLAG,
        locator=locator(0, 1),
    )
    _, out, error = await run(address, "transcribe", str(tmp_path / "talk.ogg"))
    assert out.splitlines() == ["The lighthouse is old.", "The river is wide."]
    assert "flagged: talk.ogg (0:00.0 – 0:01.0): toxic 0.75" in error
    _, out, _ = await run(address, "transcribe", str(tmp_path / "talk.ogg"), "--json")
    told = [line["type"] for line in json_lines(out)]
    assert told == ["moderation", "transcript", "transcript"]
