"""Uploads over a real channel: what is committed, what is not, what can be resumed."""

import asyncio
import hashlib
from collections.abc import Sequence

import grpc
import pytest
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2, moderation_pb2

from tests import media
from tests.contract.ingest.conftest import Ingest, Response, chunks, config, finish, start, whole

JPEG = media.jpeg()
TENANT = (("sensorium-tenant", "default"),)


async def test_worked_sequence_of_events(ingest: Ingest) -> None:
    events = await ingest.send(whole("a", JPEG, "boat.jpg"))
    kinds = [response.WhichOneof("event") for response in events.responses]
    steady = [kind for kind in kinds if kind != "chunk_ack"]
    assert steady == [
        *("ready", "upload_opened", "asset_info", "segment"),
        *("segments_complete", "asset", "summary"),
    ]
    assert events.asset.sha256 == hashlib.sha256(JPEG).hexdigest()
    assert events.asset.info.name == "boat.jpg"
    assert events.asset.info.modality == media_pb2.MODALITY_IMAGE
    assert events.of("chunk_ack")[-1].durable_offset == len(JPEG)
    summary = events.of("summary")[0]
    assert (summary.asset_count, summary.segment_count) == (1, 1)
    assert summary.received_bytes == len(JPEG)
    assert ingest.parts() == []


async def test_assets_interleave_and_a_bad_one_leaves_the_others_alone(ingest: Ingest) -> None:
    sound = media.wav(media.tone(1))
    first, second = chunks("a", JPEG, size=4096), chunks("b", sound, size=4096)
    mixed = [message for pair in zip(first, second, strict=False) for message in pair]
    rest = first[len(second) :] + second[len(first) :]
    messages = [start("a"), start("bad"), start("b"), *mixed, *chunks("bad", media.HLS_PLAYLIST)]
    messages += [*rest, finish("bad", media.HLS_PLAYLIST), finish("a", JPEG), finish("b", sound)]
    events = await ingest.send(messages)
    assert {asset.asset_id for asset in events.of("asset")} == {"a", "b"}
    assert events.of("item_error")[0].item_id == "bad"
    assert events.error.reason == "UNSUPPORTED_MEDIA"


async def test_half_close_without_finish_commits_nothing(ingest: Ingest) -> None:
    events = await ingest.send([start("a"), *chunks("a", JPEG)])
    assert events.error.reason == "ASSET_UNFINISHED"
    assert not events.of("asset")
    assert ingest.visible() == []
    state = await ingest.stub.GetUpload(ingest_pb2.GetUploadRequest(asset_id="a"), metadata=TENANT)
    assert state.durable_offset == len(JPEG)
    assert not state.committed
    assert state.expire_time.seconds > 0


@pytest.mark.parametrize("leave", ["cancel", "half-close"])
async def test_what_nobody_will_resume_is_thrown_away(ingest: Ingest, leave: str) -> None:
    opened = start("a")
    opened.asset_start.discard_unfinished = True
    call = ingest.open()
    for message in (config(), opened, *chunks("a", JPEG)):
        await call.write(message)
    while (await ingest.until(call, "chunk_ack")).of("chunk_ack")[-1].durable_offset < len(JPEG):
        pass
    assert ingest.parts() != []
    if leave == "cancel":
        call.cancel()
    else:
        await call.done_writing()
    await until_idle(ingest)
    assert ingest.parts() == []
    assert ingest.visible() == []


async def test_labels_may_come_with_the_end(ingest: Ingest) -> None:
    opened, ended = start("a"), finish("a", JPEG)
    opened.asset_start.tags.extend(["boats", "2024"])
    opened.asset_start.metadata["project"] = "harbour"
    ended.asset_finish.tags.extend(["boats", "red"])
    ended.asset_finish.metadata["purpose"] = "vision"
    events = await ingest.send([opened, *chunks("a", JPEG), ended])
    assert list(events.asset.tags) == ["boats", "2024", "red"]
    assert events.asset.metadata == {"project": "harbour", "purpose": "vision"}


async def test_labels_that_come_with_the_end_keep_to_the_limits(ingest: Ingest) -> None:
    opened, ended = start("a"), finish("a", JPEG)
    opened.asset_start.tags.extend(f"tag {i}" for i in range(20))
    ended.asset_finish.tags.extend(f"label {i}" for i in range(20))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ingest.send([opened, *chunks("a", JPEG), ended])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ingest.visible() == []


async def test_resume_after_a_cancel_gives_the_same_asset_and_segments(ingest: Ingest) -> None:
    content = media.webm()
    half = len(content) // 2
    call = ingest.open()
    await call.write(config())
    await call.write(start("v"))
    for message in chunks("v", content[:half]):
        await call.write(message)
    while (await ingest.until(call, "chunk_ack")).of("chunk_ack")[-1].durable_offset < half:
        pass
    call.cancel()
    await until_idle(ingest)
    assert ingest.visible() == []

    state = await ingest.stub.GetUpload(ingest_pb2.GetUploadRequest(asset_id="v"), metadata=TENANT)
    assert state.durable_offset == half
    resumed = await ingest.send([start("v"), *chunks("v", content, half), finish("v", content)])
    assert resumed.of("upload_opened")[0].resume_offset == half
    other = await ingest.send(whole("w", content))
    assert resumed.asset.sha256 == hashlib.sha256(content).hexdigest()
    assert [s.image.data or s.audio.samples for s in resumed.segments] == [
        s.image.data or s.audio.samples for s in other.segments
    ]


async def test_cancel_frees_the_decoder(ingest: Ingest) -> None:
    call = ingest.open()
    await call.write(config())
    await call.write(start("v"))
    for message in chunks("v", media.webm()[:60_000]):
        await call.write(message)
    await ingest.until(call, "segment")
    assert ingest.engine.active_decoders == 1
    call.cancel()
    await until_idle(ingest)
    assert ingest.visible() == []


async def until_idle(ingest: Ingest) -> None:
    """Wait until the uploads that run have let go of everything."""
    async with asyncio.timeout(30):
        await asyncio.wait(ingest.engine.uploads)
    assert ingest.engine.active_decoders == ingest.engine.open_part_count == 0


@pytest.mark.parametrize("make", [media.fragmented_mp4, media.webm, media.faststart_mp4])
async def test_segments_come_before_the_last_bytes_are_sent(ingest: Ingest, make: object) -> None:
    assert callable(make)
    content: bytes = make(12.0)
    sent = len(content) * 2 // 3
    call = ingest.open()
    await call.write(config())
    await call.write(start("v"))
    for message in chunks("v", content[:sent], size=8192):
        await call.write(message)
    early = await ingest.until(call, "segment")
    assert early.of("asset_info")[0].streamable
    for message in chunks("v", content, sent):
        await call.write(message)
    await call.write(finish("v", content))
    await call.done_writing()
    rest = await ingest.until(call, "summary")
    assert rest.asset.size_bytes == len(content)


async def test_speech_windows_come_while_sound_is_still_sent(ingest: Ingest) -> None:
    content = media.wav(media.speech_like(20))
    call = ingest.open()
    await call.write(config())
    await call.write(start("s"))
    for message in chunks("s", content[: len(content) * 3 // 4]):
        await call.write(message)
    early = await ingest.until(call, "segment")
    assert early.segments[0].audio.sample_rate_hz == 16_000
    call.cancel()


async def test_repeated_upload_is_harmless_and_other_bytes_are_refused(ingest: Ingest) -> None:
    first = await ingest.send(whole("a", JPEG))
    again = await ingest.send(whole("a", JPEG))
    assert again.asset == first.asset
    assert again.of("upload_opened")[0].resume_offset == len(JPEG)
    assert again.segments == first.segments
    short = await ingest.send([start("a"), finish("a", JPEG)])
    assert short.asset == first.asset
    other = await ingest.send(whole("a", media.png()))
    assert other.error.reason == "ASSET_EXISTS"
    assert other.error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]


async def test_same_bytes_are_kept_once_within_a_tenant_only(ingest: Ingest) -> None:
    first = await ingest.send(whole("a", JPEG))
    second = await ingest.send(whole("b", JPEG))
    foreign = await ingest.send(whole("c", JPEG), tenant="other")
    assert first.asset.duplicate_of == ""
    assert second.asset.duplicate_of == "a"
    assert foreign.asset.duplicate_of == ""
    assert ingest.visible().count(first.asset.sha256) == 2
    request = ingest_pb2.FindAssetsRequest(sha256=[first.asset.sha256, "0" * 64, "../../etc"])
    found = await ingest.stub.FindAssets(request, metadata=TENANT)
    assert [asset.asset_id for asset in found.assets] == ["a"]
    # "c" is the other tenant's: it is as unknown as one that is nobody's.
    by_id = ingest_pb2.FindAssetsRequest(asset_ids=["b", "c", "absent", "../../etc"])
    found = await ingest.stub.FindAssets(by_id, metadata=TENANT)
    assert [(asset.asset_id, asset.duplicate_of) for asset in found.assets] == [("b", "a")]


async def test_second_stream_of_the_same_asset_is_told_so(ingest: Ingest) -> None:
    call = ingest.open()
    await call.write(config())
    await call.write(start("a"))
    await ingest.until(call, "upload_opened")
    second = await ingest.send(whole("a", JPEG))
    assert second.error.reason == "UPLOAD_IN_PROGRESS"
    for message in [*chunks("a", JPEG), finish("a", JPEG)]:
        await call.write(message)
    await call.done_writing()
    assert (await ingest.until(call, "summary")).asset.asset_id == "a"


async def test_store_only_stores_and_ephemeral_only_cuts(ingest: Ingest) -> None:
    stored = await ingest.send(whole("a", JPEG), store_only=True)
    assert stored.segments == []
    assert stored.asset.info.width_px == 640
    cut = await ingest.send(whole("b", JPEG), ephemeral=True)
    assert len(cut.segments) == 1
    assert cut.of("asset") == []
    assert ingest.parts() == []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ingest.stub.GetAsset(ingest_pb2.GetAssetRequest(asset_id="b"), metadata=TENANT)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_stored_asset_is_cut_again_as_it_was(ingest: Ingest) -> None:
    for asset_id, content in {"v": media.mp4(), "t": media.TEXT.encode()}.items():
        events = await ingest.send(whole(asset_id, content))
        request = ingest_pb2.SegmentAssetRequest(asset_id=asset_id)
        again = [r async for r in ingest.stub.SegmentAsset(request, metadata=TENANT)]
        assert [r.segment for r in again if r.WhichOneof("event") == "segment"] == events.segments
        assert again[0].asset_info.asset_id == asset_id
        assert again[-1].segments_complete.segment_count == len(events.segments)


async def test_who_asks_for_long_windows_of_sound_has_them_each_time(ingest: Ingest) -> None:
    sound = media.wav(media.speech_like(40.0, pause_every_s=5.0))
    usual = await ingest.send(whole("a", sound))
    events = await ingest.send(whole("b", sound), long_audio_windows=True)
    assert events.of("ready")[0].effective_config.long_audio_windows
    assert len(events.segments) < len(usual.segments)
    shortest_bytes = 2 * 10 * media.SAMPLE_RATE_HZ
    assert all(len(each.audio.samples) >= shortest_bytes for each in events.segments[:-1])
    request = ingest_pb2.SegmentAssetRequest(asset_id="b", long_audio_windows=True)
    again = [r async for r in ingest.stub.SegmentAsset(request, metadata=TENANT)]
    assert [r.segment for r in again if r.WhichOneof("event") == "segment"] == events.segments


async def test_assets_are_listed_newest_first_in_stable_pages(ingest: Ingest) -> None:
    for asset_id in ("a", "b", "c"):
        await ingest.send(whole(asset_id, JPEG))
    first = await ingest.stub.ListAssets(ingest_pb2.ListAssetsRequest(page_size=2), metadata=TENANT)
    await ingest.send(whole("d", JPEG))
    second = await ingest.stub.ListAssets(
        ingest_pb2.ListAssetsRequest(page_size=2, page_token=first.next_page_token), metadata=TENANT
    )
    assert [asset.asset_id for asset in first.assets] == ["c", "b"]
    assert [asset.asset_id for asset in second.assets] == ["a"]
    assert second.next_page_token == ""


async def test_a_page_begins_after_an_asset(ingest: Ingest) -> None:
    for asset_id in ("a", "b", "c"):
        await ingest.send(whole(asset_id, JPEG))
    request = ingest_pb2.ListAssetsRequest(after_asset_id="b")
    page = await ingest.stub.ListAssets(request, metadata=TENANT)
    assert [asset.asset_id for asset in page.assets] == ["a"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        gone = ingest_pb2.ListAssetsRequest(after_asset_id="x")
        await ingest.stub.ListAssets(gone, metadata=TENANT)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_client_that_does_not_read_can_still_upload(ingest: Ingest) -> None:
    content = media.wav(media.tone(300, 48_000), 48_000)
    call = ingest.open()
    async with asyncio.timeout(30):
        await call.write(config())
        for message in whole("s", content):
            await call.write(message)
        await call.done_writing()
    responses: list[Response] = [response async for response in call]
    assert responses[-2].asset.size_bytes == len(content)


async def test_an_asset_is_marked_as_indexed_for_good_and_only_one_that_is_there(
    ingest: Ingest,
) -> None:
    sent = await ingest.send(whole("a", JPEG))
    assert not sent.asset.indexed
    for _ in range(2):
        mark = ingest_pb2.MarkIndexedRequest(asset_id="a")
        await ingest.stub.MarkIndexed(mark, metadata=TENANT)
        asked = ingest_pb2.GetAssetRequest(asset_id="a")
        found = await ingest.stub.GetAsset(asked, metadata=TENANT)
        assert found.asset.indexed
    for asset_id, tenant in (("b", "default"), ("a", "other")):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ingest.stub.MarkIndexed(
                ingest_pb2.MarkIndexedRequest(asset_id=asset_id),
                metadata=(("sensorium-tenant", tenant),),
            )
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    endless = ingest_pb2.MarkIndexedRequest(asset_id="a", space="x" * 1_000_000)
    with pytest.raises(grpc.aio.AioRpcError, match="at most 64") as caught:
        await ingest.stub.MarkIndexed(endless, metadata=TENANT)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (await ingest.stub.GetAsset(asked, metadata=TENANT)).asset.indexed


async def test_what_moderation_found_is_kept_with_the_bytes_and_can_be_replaced(
    ingest: Ingest,
) -> None:
    for asset_id in ("a", "again"):
        await ingest.send(whole(asset_id, JPEG))
    place = media_pb2.Locator(region=media_pb2.PixelRegion(left_px=8, width_px=16, height_px=24))
    place.span.start.FromMilliseconds(1500)
    place.span.end.FromMilliseconds(1750)
    found = media_pb2.ModerationFinding(
        score=moderation_pb2.ModerationScore(category="sexual", score=0.75),
        locator=place,
        blocked=True,
    )
    words = media_pb2.ModerationFinding(
        score=moderation_pb2.ModerationScore(category="toxic", score=0.5),
        locator=media_pb2.Locator(chars=media_pb2.CharRange(start=3, end=9)),
    )

    async def kept(asset_id: str) -> list[media_pb2.ModerationFinding]:
        asked = ingest_pb2.GetAssetRequest(asset_id=asset_id)
        response = await ingest.stub.GetAsset(asked, metadata=TENANT)
        return list(response.asset.moderation_findings)

    assert await kept("a") == []
    for findings in ([found, words], [words], []):
        record = ingest_pb2.RecordModerationRequest(asset_id="a", findings=findings)
        await ingest.stub.RecordModeration(record, metadata=TENANT)
        # The same bytes under another id are the same thing.
        assert await kept("a") == await kept("again") == findings
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        record = ingest_pb2.RecordModerationRequest(asset_id="a", findings=[found])
        await ingest.stub.RecordModeration(record, metadata=(("sensorium-tenant", "other"),))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert await kept("a") == []


async def test_the_scores_of_an_asset_are_kept_by_category(ingest: Ingest) -> None:
    await ingest.send(whole("a", JPEG))

    def score(category: str, value: float) -> media_pb2.ModerationFinding:
        return media_pb2.ModerationFinding(
            score=moderation_pb2.ModerationScore(category=category, score=value),
            locator=media_pb2.Locator(region=media_pb2.PixelRegion(width_px=16, height_px=24)),
        )

    async def kept_after(
        *scores: media_pb2.ModerationFinding, found: Sequence[media_pb2.ModerationFinding] = ()
    ) -> list[media_pb2.ModerationFinding]:
        record = ingest_pb2.RecordModerationRequest(asset_id="a", findings=found, scores=scores)
        await ingest.stub.RecordModeration(record, metadata=TENANT)
        asked = ingest_pb2.GetAssetRequest(asset_id="a")
        return list((await ingest.stub.GetAsset(asked, metadata=TENANT)).asset.moderation_scores)

    toxic, sexual, more = score("toxic", 0.0), score("sexual", 0.25), score("sexual", 0.75)
    assert await kept_after(toxic, sexual) == [sexual, toxic]
    assert await kept_after(more, found=[more]) == [more, toxic]
    # What is found depends on the rules; the scores stay.
    assert await kept_after() == [more, toxic]


async def test_frames_are_chosen_as_the_config_says(ingest: Ingest) -> None:
    pictures = [media.numbered_frame(index) for index in range(60)]
    times_ms = [index * 100 for index in range(60)]
    film = media.timed_video(pictures, times_ms, "mp4", keyframe_interval=20)
    sampling = media_pb2.FrameSampling(
        method=media_pb2.FRAME_SAMPLING_METHOD_KEYFRAMES, frame_count_max=2
    )
    events = await ingest.send(whole("film", film), frame_sampling=sampling)
    effective = events.of("ready")[0].effective_config.frame_sampling
    assert effective == sampling
    assert [s.locator.span.start.ToMilliseconds() for s in events.segments] == [0, 4000]

    every_second = ingest_pb2.SegmentAssetRequest(
        asset_id="film", frame_sampling=media_pb2.FrameSampling(frame_rate_hz=1)
    )
    again = [r async for r in ingest.stub.SegmentAsset(every_second, metadata=TENANT)]
    assert len([r for r in again if r.WhichOneof("event") == "segment"]) == 6


@pytest.mark.parametrize(
    ("sampling", "reason"),
    [
        (media_pb2.FrameSampling(frame_rate_hz=31), "FRAME_RATE_INVALID"),
        (media_pb2.FrameSampling(frame_rate_hz=-1), "FRAME_RATE_INVALID"),
        (media_pb2.FrameSampling(frame_rate_hz=float("nan")), "FRAME_RATE_INVALID"),
        (media_pb2.FrameSampling(method=77), "FRAME_SAMPLING_UNKNOWN"),  # type: ignore[arg-type]
    ],
    ids=str,
)
async def test_senseless_sampling_is_refused(
    ingest: Ingest, sampling: media_pb2.FrameSampling, reason: str
) -> None:
    error = await ingest.failing([], frame_sampling=sampling)
    assert error.reason == reason
    assert error.subject.startswith("config.frame_sampling.")


async def test_open_sound_is_shown_where_asked_for_and_changes_no_segment(ingest: Ingest) -> None:
    sound = media.endless_wav(media.speech_like(9.0))
    shown = await ingest.send(whole("a", sound), audio_previews=True)
    plain = await ingest.send(whole("b", sound))
    assert not plain.of("audio_preview")
    assert [s.audio for s in shown.segments] == [s.audio for s in plain.segments]
    kinds = [response.WhichOneof("event") for response in shown.responses]
    first = shown.of("audio_preview")[0]
    assert kinds.index("audio_preview") < kinds.index("segment")
    assert (first.segment_id, first.asset_id) == ("a/audio/0", "a")
    # All of the window so far, from its start.
    heard = first.audio.samples
    assert len(heard) >= 2 * media.SAMPLE_RATE_HZ
    assert shown.segments[0].audio.samples.startswith(heard)
    assert first.span.start == shown.segments[0].locator.span.start
    assert first.span.end.ToMicroseconds() == len(heard) / 2 / media.SAMPLE_RATE_HZ * 1e6
