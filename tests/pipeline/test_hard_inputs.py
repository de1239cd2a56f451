"""Bad input through the front door: each with its typed error, and nothing of it stays."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import upload_pb2
from sensorium_client import Client
from sensorium_client.errors import SensoriumClientError

from tests import media
from tests.pipeline.platform import Platform
from tests.pipeline.streams import (
    Converse,
    Outcome,
    Told,
    Upload,
    asset,
    chunks,
    config,
    end,
    exchange,
    in_turn,
    in_upload,
    text,
    told_by_status,
)

INVALID, OUT_OF_RANGE, PRECONDITION, NOT_FOUND = (
    *("INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION", "NOT_FOUND"),
)
JPEG = media.jpeg(320, 240)
WRONG_SHA256 = hashlib.sha256(b"other bytes").hexdigest()


def stated_31_minutes() -> bytes:
    """The beginning of a WAV file whose header states 31 minutes."""
    size_bytes = 31 * 60 * 16_000 * 2
    return media.wav(media.tone(0.0))[:40] + size_bytes.to_bytes(4, "little") + bytes(200_000)


def silence_31_minutes() -> bytes:
    """31 minutes of silence at a low rate; the header leaves the length open."""
    return media.endless_wav(media.tone(31 * 60, 1000, hz=0), 1000)


BAD_FILES: dict[str, tuple[bytes, str, str, str]] = {
    "empty": (b"", "", INVALID, "EMPTY_FILE"),
    "text-as-jpg": (media.TEXT.encode(), "photo.jpg", INVALID, "TYPE_MISMATCH"),
    "cut-mp4": (media.truncated_mp4(), "", INVALID, "MEDIA_TRUNCATED"),
    "bomb": (media.png_bomb(), "", OUT_OF_RANGE, "IMAGE_TOO_LARGE"),
    "stated-31-minutes": (stated_31_minutes(), "", OUT_OF_RANGE, "MEDIA_TOO_LONG"),
    "open-31-minutes": (silence_31_minutes(), "", OUT_OF_RANGE, "MEDIA_TOO_LONG"),
    "noise": (bytes(range(256)) * 64, "", INVALID, "UNSUPPORTED_MEDIA"),
}


@pytest.fixture(autouse=True)
async def the_platform_is_as_before(platform: Platform, client: Client) -> AsyncIterator[None]:
    """After every bad input all is free and nothing more is visible."""
    before = await visible(client)
    yield
    await platform.at_rest(within_s=20)
    assert await visible(client) == before


async def visible(client: Client) -> set[str]:
    """Every asset that can be listed or found."""
    listed = {asset.asset_id async for asset in client.list_assets()}
    hits = await client.search(text="anything", top_k=100)
    return listed | {hit.asset_id for hit in hits}


async def converse(stub: Any, *messages: Converse, **options: Any) -> Outcome:
    return await exchange(stub.StreamingConverse(), [config(**options), *messages])


async def failed(call: Any) -> Told:
    """The error of a unary or a server-streaming call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    return told_by_status(caught.value)


# --- media ------------------------------------------------------------------------


@pytest.mark.parametrize("asset_id", BAD_FILES)
async def test_a_bad_file_in_a_turn_names_the_asset(stub: Any, asset_id: str) -> None:
    content, name, code, reason = BAD_FILES[asset_id]
    parts = in_turn(asset(asset_id, content, name))
    outcome = await converse(stub, text("What is it?"), *parts, end())
    subject = "name" if reason == "TYPE_MISMATCH" else asset_id
    assert outcome.error == Told(code, reason, subject, outcome.error.message)
    assert not outcome.of("token")


async def test_bad_files_of_an_upload_fail_alone(stub: Any, client: Client) -> None:
    """The rest goes on; the good one is a repeat, so that nothing new is visible."""
    bad = [part for id_, bad in BAD_FILES.items() for part in asset(id_, bad[0], bad[1])]
    sent = [Upload(config=gateway_pb2.UploadConfig()), *in_upload(bad)]
    outcome = await exchange(stub.StreamingUpload(), sent)
    errors = outcome.item_errors()
    assert {id_: (told.code, told.reason) for id_, told in errors.items()} == {
        id_: (code, reason) for id_, (_, _, code, reason) in BAD_FILES.items()
    }
    assert not outcome.of("asset")
    assert outcome.of("summary")[0].asset_count == 0
    for id_ in BAD_FILES:
        with pytest.raises(SensoriumClientError) as caught:
            await client.durable_bytes(id_)
        assert caught.value.code == NOT_FOUND


@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", ""])
async def test_a_playlist_is_refused_and_fetches_nothing(stub: Any, name: str) -> None:
    reached = asyncio.Event()

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    listener = await asyncio.start_server(note, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}/a.ts\n#EXT-X-ENDLIST\n"
        for content in (playlist.encode(), b"\xef\xbb\xbf\n " + playlist.encode()):
            parts = in_turn(asset("list", content, name or f"{url}/list.m3u8"))
            outcome = await converse(stub, text("What is it?"), *parts, end())
            assert outcome.error.reason == "UNSUPPORTED_MEDIA"
            searched = await failed(stub.Search(gateway_pb2.SearchRequest(media=content)))
            assert searched.reason == "UNSUPPORTED_MEDIA"
        assert not reached.is_set()
        # The listener works: it was not reached because nobody tried.
        with socket.create_connection(("127.0.0.1", port)):
            await reached.wait()


@pytest.mark.parametrize(
    ("parts", "code", "reason", "subject"),
    [
        (
            asset("a", JPEG, sha256=WRONG_SHA256),
            *(INVALID, "CHECKSUM_MISMATCH", "asset_finish.sha256"),
        ),
        (asset("a", JPEG, sha256="no hash"), INVALID, "SHA256_INVALID", "asset_finish.sha256"),
        (
            [asset("a", JPEG)[0], *reversed(chunks("a", JPEG, 4096)), asset("a", JPEG)[-1]],
            *(INVALID, "CHUNK_OFFSET_MISMATCH", "chunk.offset"),
        ),
        (
            [*asset("a", JPEG)[:-1], upload_pb2.AssetFinish(asset_id="a", size_bytes=1)],
            *(INVALID, "SIZE_MISMATCH", "asset_finish.size_bytes"),
        ),
        (chunks("a", JPEG), PRECONDITION, "ASSET_NOT_STARTED", "chunk"),
        (asset("../../etc/passwd", JPEG), INVALID, "ASSET_ID_INVALID", "asset_start.asset_id"),
        (asset("a", JPEG, name="n" * 256), INVALID, "NAME_TOO_LONG", "asset_start.name"),
        (
            [
                upload_pb2.AssetStart(asset_id="a"),
                upload_pb2.MediaChunk(asset_id="a", data=bytes((1 << 20) + 1)),
                upload_pb2.AssetFinish(asset_id="a", size_bytes=(1 << 20) + 1),
            ],
            *(INVALID, "CHUNK_TOO_LARGE", "chunk.data"),
        ),
    ],
    ids=[
        *("wrong-sha256", "no-sha256", "chunks-out-of-order", "wrong-size", "no-start", "path-id"),
        *("long-name", "large-chunk"),
    ],
)
async def test_a_mistake_in_sending(
    stub: Any, client: Client, parts: list[Any], code: str, reason: str, subject: str
) -> None:
    outcome = await converse(stub, text("What is it?"), *in_turn(parts), end())
    assert outcome.error == Told(code, reason, subject, outcome.error.message)
    assert not await client.find_assets([hashlib.sha256(JPEG).hexdigest()])


# --- the conversation ------------------------------------------------------------------

_OPEN_ASSET = in_turn(asset("open", JPEG)[:-1])


@pytest.mark.parametrize(
    ("messages", "code", "reason", "subject"),
    [
        ([text("x")], INVALID, "CONFIG_EXPECTED", "config"),
        ([config(), config()], INVALID, "CONFIG_REPEATED", "config"),
        ([config(), Converse(turn_id="t")], INVALID, "EMPTY_MESSAGE", "message"),
        ([config(), end()], INVALID, "QUESTION_MISSING", "text"),
        ([config(), text(" \n"), end()], INVALID, "QUESTION_MISSING", "text"),
        ([config(), text("?", turn_id="")], INVALID, "TURN_ID_INVALID", "turn_id"),
        ([config(), text("?", turn_id="t" * 65)], INVALID, "TURN_ID_INVALID", "turn_id"),
        ([config(), text("Why?")], PRECONDITION, "TURN_UNFINISHED", "turn"),
        ([config(), text("a"), text("b", "other")], PRECONDITION, "TURN_OPEN", "other"),
        ([config(), text("a"), end(), text("b")], PRECONDITION, "TURN_ENDED", "turn"),
        (
            [config(), text("a"), *_OPEN_ASSET, end()],
            *(PRECONDITION, "ASSET_UNFINISHED", "open"),
        ),
        ([config(), text("a"), end("no-such")], NOT_FOUND, "ASSET_NOT_FOUND", "no-such"),
        (
            [config(), text("a"), end(*map(str, range(33)))],
            *(INVALID, "TOO_MANY_ASSETS", "asset_ids"),
        ),
        ([config(), text("?" * 8001), end()], OUT_OF_RANGE, "QUESTION_TOO_LONG", "text"),
        (
            [config(), text("☃7" * 3990), end()],
            *(OUT_OF_RANGE, "CONTEXT_TOO_LONG", "text"),
        ),
        (
            [config(model="gpt-9"), text("?"), end()],
            INVALID,
            "UNKNOWN_MODEL",
            "config.answer.model",
        ),
        (
            [config(model="gpt-9"), text("?"), *in_turn(asset("a", media.mp4(2.0))), end()],
            *(INVALID, "UNKNOWN_MODEL", "config.answer.model"),
        ),
        (
            [config(temperature=9), text("?"), end()],
            *(INVALID, "OUT_OF_RANGE", "config.answer.temperature"),
        ),
    ],
    ids=[
        *("no-config", "second-config", "empty-message", "no-question", "blank-question"),
        *("no-turn-id", "long-turn-id", "unfinished-turn", "two-turns", "text-after-end"),
        *("unfinished-asset", "unknown-asset", "too-many-assets", "long-question"),
        *("past-the-window", "unknown-model", "unknown-model-with-media", "temperature"),
    ],
)
async def test_a_mistake_in_a_conversation(
    stub: Any, messages: Iterable[Converse], code: str, reason: str, subject: str
) -> None:
    outcome = await exchange(stub.StreamingConverse(), messages)
    assert outcome.error == Told(code, reason, subject, outcome.error.message)


async def test_a_mistake_in_an_upload(stub: Any) -> None:
    first = Upload(config=gateway_pb2.UploadConfig())
    twice = await exchange(stub.StreamingUpload(), [first, first])
    assert twice.error.reason == "CONFIG_REPEATED"
    none = await exchange(stub.StreamingUpload(), in_upload(asset("a", JPEG)))
    assert none.error.reason == "CONFIG_EXPECTED"
    unfinished = await exchange(stub.StreamingUpload(), [first, *in_upload(asset("a", JPEG)[:-1])])
    assert unfinished.item_errors()["a"].reason == "ASSET_UNFINISHED"


# --- unary calls ------------------------------------------------------------------------

Call = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("call", "code", "reason", "subject"),
    [
        (
            lambda stub: stub.Ask(gateway_pb2.AskRequest(question="?", asset_ids=["no-such"])),
            *(NOT_FOUND, "ASSET_NOT_FOUND", "no-such"),
        ),
        (
            lambda stub: stub.Ask(gateway_pb2.AskRequest()),
            *(INVALID, "QUESTION_MISSING", "question"),
        ),
        (
            lambda stub: stub.Ask(gateway_pb2.AskRequest(question="?" * 8001)),
            *(OUT_OF_RANGE, "QUESTION_TOO_LONG", "question"),
        ),
        (
            lambda stub: stub.Transcribe(gateway_pb2.TranscribeRequest(asset_id="no-such")),
            *(NOT_FOUND, "ASSET_NOT_FOUND", "no-such"),
        ),
        (
            lambda stub: stub.Caption(gateway_pb2.CaptionRequest(asset_id="no-such")),
            *(NOT_FOUND, "ASSET_NOT_FOUND", "no-such"),
        ),
        (
            lambda stub: stub.Caption(gateway_pb2.CaptionRequest()),
            *(INVALID, "ASSET_ID_MISSING", "asset_id"),
        ),
        (
            lambda stub: stub.Caption(
                gateway_pb2.CaptionRequest(asset_id="no-such", style=9)  # type: ignore[arg-type]
            ),
            *(INVALID, "CAPTION_STYLE_UNKNOWN", "style"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest(asset_id="no-such")),
            *(NOT_FOUND, "ASSET_NOT_FOUND", "no-such"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest()),
            *(INVALID, "QUERY_MISSING", "query"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest(text=" \n")),
            *(INVALID, "QUERY_MISSING", "query"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest(text="x", top_k=101)),
            *(INVALID, "TOP_K_TOO_LARGE", "top_k"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest(media=b"\0" * 99)),
            *(INVALID, "UNSUPPORTED_MEDIA", "media"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest(media=bytes((3 << 20) + 1))),
            *(OUT_OF_RANGE, "QUERY_MEDIA_TOO_LARGE", "media"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest(text="x", offset=901)),
            *(INVALID, "OFFSET_TOO_LARGE", "offset"),
        ),
        (
            lambda stub: stub.Search(
                gateway_pb2.SearchRequest(text="x", thumbnails=True, top_k=21)
            ),
            *(INVALID, "TOP_K_TOO_LARGE", "top_k"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest(text="x", relevance_min=1.0)),
            *(INVALID, "RELEVANCE_INVALID", "relevance_min"),
        ),
        (
            lambda stub: stub.Search(gateway_pb2.SearchRequest(text="x", metadata={"A": "x"})),
            *(INVALID, "METADATA_INVALID", "metadata"),
        ),
        (
            lambda stub: stub.Search(
                gateway_pb2.SearchRequest(parts=[gateway_pb2.QueryPart(text="x", weight=-1)])
            ),
            *(INVALID, "WEIGHT_INVALID", "parts[0].weight"),
        ),
        (
            lambda stub: stub.Search(
                gateway_pb2.SearchRequest(text="x", parts=[gateway_pb2.QueryPart(weight=1)])
            ),
            *(INVALID, "QUERY_MISSING", "parts[0]"),
        ),
        (
            lambda stub: stub.Search(
                gateway_pb2.SearchRequest(text="x", age_max=duration_pb2.Duration(seconds=-1))
            ),
            *(INVALID, "AGE_INVALID", "age_max"),
        ),
        (
            lambda stub: stub.FindNearDuplicates(gateway_pb2.FindNearDuplicatesRequest()),
            *(INVALID, "QUERY_MISSING", "query"),
        ),
        (
            lambda stub: stub.FindNearDuplicates(
                gateway_pb2.FindNearDuplicatesRequest(media=b"only text, nothing to see")
            ),
            *(INVALID, "NO_PICTURE", "media"),
        ),
        (
            lambda stub: stub.FindNearDuplicates(
                gateway_pb2.FindNearDuplicatesRequest(asset_id="a", hamming_distance_max=17)
            ),
            *(INVALID, "HAMMING_DISTANCE_MAX_TOO_LARGE", "hamming_distance_max"),
        ),
        (
            lambda stub: stub.GetTrace(gateway_pb2.GetTraceRequest(trace_id="../x")),
            *(INVALID, "TRACE_ID_INVALID", "trace_id"),
        ),
        (
            lambda stub: stub.GetTrace(gateway_pb2.GetTraceRequest(trace_id="0" * 32)),
            *(NOT_FOUND, "TRACE_UNKNOWN", "trace_id"),
        ),
        (
            lambda stub: stub.GetUpload(gateway_pb2.GetUploadRequest(asset_id="no-such")),
            *(NOT_FOUND, "UPLOAD_NOT_FOUND", "no-such"),
        ),
        (
            lambda stub: stub.FindAssets(gateway_pb2.FindAssetsRequest(sha256=["x"] * 1001)),
            *(INVALID, "TOO_MANY_HASHES", "sha256"),
        ),
        (
            lambda stub: stub.FindAssets(gateway_pb2.FindAssetsRequest(asset_ids=["x"] * 1001)),
            *(INVALID, "TOO_MANY_ASSETS", "asset_ids"),
        ),
        (
            lambda stub: stub.ListAssets(gateway_pb2.ListAssetsRequest(page_token="../x")),
            *(INVALID, "PAGE_TOKEN_INVALID", "page_token"),
        ),
    ],
    ids=[
        *("ask-unknown", "ask-nothing", "ask-too-much", "transcribe-unknown", "caption-unknown"),
        *(
            "caption-nothing",
            "caption-style",
            "search-unknown",
            "search-nothing",
            "search-blank",
            "search-many",
        ),
        *("search-noise", "search-large", "search-far", "search-many-pictures", "search-sure"),
        *("search-key", "search-weight", "search-no-part", "search-age"),
        *("alike-nothing", "alike-text", "alike-far"),
        *("trace-malformed", "trace-unknown", "upload-unknown"),
        *("find-many", "find-many-ids", "page-malformed"),
    ],
)
async def test_a_mistake_in_a_call(
    stub: Any, call: Call, code: str, reason: str, subject: str
) -> None:
    told = await failed(call(stub))
    assert told == Told(code, reason, subject, told.message)


async def test_after_all_that_a_good_question_is_answered(stub: Any) -> None:
    good = await converse(stub, text("Is the sky blue?"), end())
    assert good.of("turn_complete")
    assert good.events[-1].WhichOneof("event") == "summary"
