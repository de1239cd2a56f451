"""Other forms of stored pictures and videos, made in the background, over a real channel."""

import asyncio
import hashlib
import io
import itertools
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from google.protobuf.duration_pb2 import Duration
from PIL import Image, ImageCms
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2

from services.ingest.growing import Cancellation, GrowingFile
from tests import known_media, media
from tests.contract.ingest.conftest import Ingest, serving, whole
from tests.contract.ingest.test_thumbnail import numbered_video, refused, thumbnail
from tests.harness import make_settings
from tests.stored_bytes import stored

_WITHIN_S = 30.0
_POLL_S = 0.02


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _WITHIN_S
    while True:
        if condition():
            return
        assert loop.time() < deadline_s
        await asyncio.sleep(_POLL_S)


@pytest.fixture(scope="module", autouse=True)
def impatience() -> Iterator[None]:
    """Renditions are waited for here, also on a machine that is busy with other things."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.ingest.render_process.NICENESS", 0)
        yield


@pytest.fixture(scope="module")
async def rendering(
    tmp_path_factory: pytest.TempPathFactory, impatience: None
) -> AsyncIterator[Ingest]:
    """A server that makes renditions, for all tests that need no other."""
    folder = tmp_path_factory.mktemp("rendering")
    settings = make_settings(folder, cpu_threads=1, renditions="all")
    async with serving(settings) as running:
        yield running


async def rendered(ingest: Ingest, asset_id: str) -> dict[str, media_pb2.Rendition]:
    """The renditions of an asset, by name, once all are made."""
    store = ingest.engine.renditions
    record = ingest.engine.store.get("default", asset_id)
    await until(lambda: store.of("default", record.sha256).recipe != "")
    request = ingest_pb2.GetAssetRequest(asset_id=asset_id, with_renditions=True)
    asset = (await ingest.stub.GetAsset(request)).asset
    return {rendition.name: rendition for rendition in asset.renditions}


async def read(ingest: Ingest, asset_id: str, rendition: media_pb2.Rendition) -> bytes:
    """The bytes of a rendition, which must be what the asset's record says."""
    request = ingest_pb2.ReadAssetRequest(asset_id=asset_id, rendition=rendition.name)
    first, *rest = [response async for response in ingest.stub.ReadAsset(request)]
    data = b"".join(response.chunk.data for response in rest)
    content = first.content
    assert (content.rendition, content.mime_type) == (rendition.name, rendition.mime_type)
    assert content.size_bytes == rendition.size_bytes == len(data)
    assert content.sha256 == rendition.sha256 == hashlib.sha256(data).hexdigest()
    return data


async def picture(ingest: Ingest, asset_id: str, rendition: media_pb2.Rendition) -> Image.Image:
    opened = Image.open(io.BytesIO(await read(ingest, asset_id, rendition)))
    assert Image.MIME[opened.format or ""] == rendition.mime_type
    assert opened.size == (rendition.width_px, rendition.height_px)
    return opened


async def test_a_large_photo_has_a_thumbnail_and_a_web_picture_both_upright(
    rendering: Ingest,
) -> None:
    await rendering.send(whole("phone", media.jpeg(2400, 1800, orientation=6)))
    made = await rendered(rendering, "phone")
    assert set(made) == {"thumbnail", "web"}
    small, web = [await picture(rendering, "phone", made[name]) for name in ("thumbnail", "web")]
    assert (small.size, web.size) == ((192, 256), (1200, 1600))
    for upright in (small, web):
        corner = upright.getpixel((upright.width - 9, 8))
        assert isinstance(corner, tuple)
        assert corner[2] > 200
    assert (await thumbnail(rendering, "phone")).tobytes() == small.tobytes()


@pytest.mark.parametrize(
    ("encoder", "names"), [("PNG", {"thumbnail"}), ("TIFF", {"thumbnail", "web"})]
)
async def test_a_small_picture_needs_a_web_form_only_where_browsers_do_not_show_it(
    rendering: Ingest, encoder: str, names: set[str]
) -> None:
    await rendering.send(whole(encoder, media.encoded(media.picture(500, 400), encoder)))
    made = await rendered(rendering, encoder)
    assert set(made) == names
    for rendition in made.values():
        await picture(rendering, encoder, rendition)


async def test_a_web_picture_keeps_the_colour_space_of_its_pixels(rendering: Ingest) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tagged = media.encoded(media.picture(2000, 1000), "JPEG", icc_profile=profile)
    printed = media.picture(2000, 1000).convert("CMYK")
    cmyk = media.encoded(printed, "JPEG", icc_profile=profile[:16] + b"CMYK" + profile[20:])
    await rendering.send([*whole("rgb", tagged), *whole("cmyk", cmyk)])
    for asset_id, kept in (("rgb", profile), ("cmyk", None)):
        made = await rendered(rendering, asset_id)
        web = await picture(rendering, asset_id, made["web"])
        assert web.info.get("icc_profile") == kept


async def test_key_frames_have_their_times(rendering: Ingest) -> None:
    await rendering.send(whole("numbers", numbered_video(container="mp4")))
    made = await rendered(rendering, "numbers")
    assert set(made) == {"thumbnail", *(f"keyframe-{n}" for n in range(6))}
    times_ms = [made[f"keyframe-{n}"].time.ToMilliseconds() for n in range(6)]
    assert times_ms == sorted(set(times_ms))
    for number, time_ms in enumerate(times_ms):
        frame = await picture(rendering, "numbers", made[f"keyframe-{number}"])
        assert media.shown_number(frame) * 100 == time_ms


async def test_a_film_of_three_pictures_has_three_key_frames(rendering: Ingest) -> None:
    """However often each was looked at, and though the film was stored with a single one."""
    shots = [known_media.Scene(3, name) for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    await rendering.send(whole("shots", known_media.film(shots)))
    made = await rendered(rendering, "shots")
    assert set(made) == {"thumbnail", "keyframe-0", "keyframe-1", "keyframe-2"}


async def test_a_long_film_has_twelve_key_frames_spread_over_it(rendering: Ingest) -> None:
    numbers = range(60)
    frames = [media.numbered_frame(number) for number in numbers]
    film = media.timed_video(
        frames, [1000 * n for n in numbers], container="mp4", keyframe_interval=2
    )
    await rendering.send(whole("long", film))
    made = await rendered(rendering, "long")
    times_s = [made[f"keyframe-{n}"].time.ToSeconds() for n in range(12)]
    assert len(made) == 13
    assert times_s[0] == 0
    assert all(4 <= after - before <= 6 for before, after in itertools.pairwise(times_s))


async def test_sound_and_text_have_none(rendering: Ingest) -> None:
    await rendering.send(
        [*whole("sound", media.wav(media.tone(1))), *whole("text", media.TEXT.encode())]
    )
    await rendering.send(whole("photo", media.jpeg()))
    await rendered(rendering, "photo")
    for asset_id in ("sound", "text"):
        request = ingest_pb2.GetAssetRequest(asset_id=asset_id, with_renditions=True)
        assert not (await rendering.stub.GetAsset(request)).asset.renditions


async def test_a_thumbnail_is_made_at_once_where_the_background_has_not_come_to_it(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ingest.send(whole("photo", media.jpeg()))
    first = await thumbnail(ingest, "photo")
    request = ingest_pb2.GetAssetRequest(asset_id="photo", with_renditions=True)
    (kept,) = (await ingest.stub.GetAsset(request)).asset.renditions
    assert kept.name == "thumbnail"
    (path,) = ingest.data_dir.glob("media/tenants/default/renditions/*/*/thumbnail")
    path.write_bytes(media.jpeg(32, 24))
    assert (await thumbnail(ingest, "photo")).size == (32, 24) != first.size


async def test_what_a_crash_left_unmade_is_made_at_the_next_start(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, cpu_threads=1)
    async with serving(settings.model_copy(update={"renditions": "none"})) as before:
        await before.send([*whole("photo", media.jpeg()), *whole("text", b"words")])
        await before.send(whole("other", media.png()), "another")
    async with serving(settings) as after:
        assert set(await rendered(after, "photo")) == {"thumbnail"}
        other = after.engine.store.get("another", "other")
        store = after.engine.renditions
        await until(lambda: store.of("another", other.sha256).find("thumbnail") is not None)


async def test_an_asset_deleted_while_its_renditions_are_made_leaves_none(
    rendering: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    keep = rendering.engine.renditions.keep

    def held(*arguments: Any) -> Any:
        entered.set()
        go_on.wait(_WITHIN_S)
        return keep(*arguments)

    monkeypatch.setattr(rendering.engine.renditions, "keep", held)
    brief = (await rendering.send(whole("brief", media.png(60, 60)))).asset
    await until(entered.is_set)
    await rendering.stub.DeleteAsset(ingest_pb2.DeleteAssetRequest(asset_id="brief"))
    await rendering.stub.PurgeAsset(ingest_pb2.PurgeAssetRequest(asset_id="brief"))
    go_on.set()
    # One after another: when the next has its own, this one's are done with.
    await rendering.send(whole("lasting", media.png(61, 61)))
    await rendered(rendering, "lasting")
    files = [path for path, content in stored(rendering.data_dir) if content is not None]
    assert not [path for path in files if brief.sha256 in str(path)]


async def test_more_assets_than_may_wait_are_all_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.rendering.WAITING_MAX", 1)
    names = [f"p{number}" for number in range(5)]
    async with serving(make_settings(tmp_path, cpu_threads=1)) as ingest:
        go_on = threading.Event()
        keep = ingest.engine.renditions.keep

        def held(*arguments: Any) -> Any:
            go_on.wait(_WITHIN_S)
            return keep(*arguments)

        monkeypatch.setattr(ingest.engine.renditions, "keep", held)
        for side, name in enumerate(names, 100):
            await ingest.send(whole(name, media.png(side, side)))
        go_on.set()
        for name in names:
            assert "thumbnail" in await rendered(ingest, name)


async def test_its_process_is_replaced_when_it_dies_and_yields_to_everything_else(
    rendering: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rendering.send(whole("before", media.png(70, 70)))
    await rendered(rendering, "before")
    (killed,) = children()
    os.kill(killed, signal.SIGKILL)
    monkeypatch.setattr("services.ingest.render_process.NICENESS", 7)
    await rendering.send(whole("after", media.png(80, 80)))
    assert "thumbnail" in await rendered(rendering, "after")
    (child,) = children()
    assert child != killed
    assert os.getpriority(os.PRIO_PROCESS, child) == os.getpriority(os.PRIO_PROCESS, 0) + 7


async def test_a_job_that_hangs_does_not_stop_those_after_it(
    rendering: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rendering.send(whole("before", media.png(70, 70)))
    await rendered(rendering, "before")
    (frozen,) = children()
    monkeypatch.setattr("services.ingest.render_process.JOB_S_MAX", 0.5)
    os.kill(frozen, signal.SIGSTOP)
    await rendering.send(whole("stuck", media.png(75, 75)))
    await until(lambda: frozen not in children())
    monkeypatch.setattr("services.ingest.render_process.JOB_S_MAX", 60.0)
    await rendering.send(whole("after", media.png(80, 80)))
    assert "thumbnail" in await rendered(rendering, "after")


def children() -> list[int]:
    """The processes that make renditions for this one."""
    return [child.pid for child in psutil.Process().children() if _makes_renditions(child)]


def _makes_renditions(process: psutil.Process) -> bool:
    try:
        return any("render_child" in word for word in process.cmdline())
    except psutil.NoSuchProcess:  # it ended after it was listed
        return False


DAMAGED: dict[str, Callable[[], bytes]] = {
    "photo.jpg": lambda: media.jpeg(800, 600),
    "picture.png": media.noisy_png,
    "film.mp4": media.mp4,
    "film.mkv": numbered_video,
}


@pytest.mark.parametrize("name", DAMAGED)
async def test_what_is_damaged_after_the_commit_says_so(ingest: Ingest, name: str) -> None:
    content = DAMAGED[name]()
    sent = await ingest.send(whole("a", content, name))
    blob = ingest.blob(sent.asset.sha256)
    request = ingest_pb2.GetThumbnailRequest(asset_id="a")
    reasons = ("MEDIA_UNREADABLE", "MEDIA_TRUNCATED")
    damaged = {("INVALID_ARGUMENT", reason) for reason in reasons}
    blob.write_bytes(content[:64] + bytes(len(content) - 64))
    assert (await refused(ingest.stub.GetThumbnail(request)))[:2] in damaged
    os.truncate(blob, len(content) // 3)
    assert (await refused(ingest.stub.GetThumbnail(request)))[:2] in damaged
    blob.unlink()
    gone = ("INTERNAL", "CONTENT_DAMAGED")
    assert (await refused(ingest.stub.GetThumbnail(request)))[:2] == gone
    assert ingest.engine.active_decoders == 0


async def test_damaged_assets_do_not_stop_the_background_and_are_tried_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(tmp_path, cpu_threads=1)
    async with serving(settings.model_copy(update={"renditions": "none"})) as before:
        await before.send(whole("photo", media.jpeg()))
        for name, make in DAMAGED.items():
            sent = await before.send(whole(name.replace(".", "-"), make()))
            blob = before.blob(sent.asset.sha256)
            os.truncate(blob, 500)
    for is_first in (True, False):
        caplog.clear()
        async with serving(settings) as after:
            # The newest come first.
            assert set(await rendered(after, "photo")) == {"thumbnail"}
            for name in DAMAGED:
                assert await rendered(after, name.replace(".", "-")) == {}
        assert ("MEDIA_" in caplog.text) == is_first


async def test_a_cancelled_thumbnail_frees_its_decoder(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held in the middle of the file until the server has noticed the cancel."""
    noisy = media.video(media.VideoSpec(noise=True, keyframe_interval=1000, audio_codec=None))
    sent = await ingest.send(whole("film", noisy))
    entered, go_on = threading.Event(), threading.Event()
    read_bytes = 0
    read_file = GrowingFile.read

    def held(file: GrowingFile, size_bytes: int = -1) -> bytes:
        nonlocal read_bytes
        data = read_file(file, size_bytes)
        read_bytes += len(data)
        if read_bytes > sent.asset.size_bytes // 4:
            entered.set()
            go_on.wait(_WITHIN_S)
        return data

    noticed = threading.Event()
    set_cancel = Cancellation.set

    def notice(cancel: Cancellation) -> None:
        set_cancel(cancel)
        noticed.set()

    monkeypatch.setattr(GrowingFile, "read", held)
    monkeypatch.setattr(Cancellation, "set", notice)
    request = ingest_pb2.GetThumbnailRequest(asset_id="film", offset=Duration(seconds=5))
    call = ingest.stub.GetThumbnail(request)
    await until(entered.is_set)
    assert ingest.engine.active_decoders == 1
    call.cancel()
    await until(noticed.is_set)
    go_on.set()
    await until(lambda: ingest.engine.active_decoders == 0)
    assert read_bytes < sent.asset.size_bytes


async def reencoded(rendering: Ingest, asset_id: str, content: bytes) -> bytes | None:
    """What the server makes of a video; None where it leaves it alone."""
    await rendering.send(whole(asset_id, content))
    made = await rendered(rendering, asset_id)
    return await read(rendering, asset_id, made["video-web"]) if "video-web" in made else None


async def test_a_film_that_browsers_do_not_play_is_encoded_anew(rendering: Ingest) -> None:
    spec = media.VideoSpec(3.0, "mpegts", (), "mpeg2video", "mp2", 640, 360, rate=25)
    content = media.video(spec)
    made = await reencoded(rendering, "ts", content)
    assert made
    assert made.index(b"moov") < made.index(b"mdat")
    with av.open(io.BytesIO(made), "r") as played, av.open(io.BytesIO(content), "r") as source:
        picture, sound = played.streams.video[0], played.streams.audio[0]
        assert (picture.codec_context.name, picture.pix_fmt) == ("h264", "yuv420p")
        assert (picture.width, picture.height) == (640, 360)
        assert (sound.codec_context.name, sound.rate, sound.channels) == ("aac", 48_000, 2)
        assert played.duration == pytest.approx(3_000_000, abs=100_000)
        levels = [grey(frame) for frame in played.decode(picture)]
        assert levels == pytest.approx([grey(frame) for frame in source.decode(video=0)], abs=4)


def grey(frame: av.VideoFrame) -> float:
    return float(frame.reformat(format="gray").to_ndarray().mean())


async def test_each_frame_keeps_its_time(rendering: Ingest) -> None:
    times_ms = [0, 1000, 1040, 2500]
    frames = [media.numbered_frame(number) for number in range(4)]
    made = await reencoded(rendering, "timed", media.timed_video(frames, times_ms))
    assert made
    with av.open(io.BytesIO(made), "r") as played:
        shown = [(frame.time, frame.to_image()) for frame in played.decode(video=0)]  # type: ignore[no-untyped-call]
    assert [time_s for time_s, _ in shown] == pytest.approx([ms / 1000 for ms in times_ms])
    assert [media.shown_number(picture) for _, picture in shown] == [0, 1, 2, 3]


async def test_a_large_film_of_a_phone_held_upright_becomes_one_of_1080p(
    rendering: Ingest,
) -> None:
    pixels = np.asarray(media.picture(2400, 1600))
    lying = media.timed_video([pixels] * 3, [0, 40, 80], "mp4")
    made = await reencoded(rendering, "upright", media.turned(lying, 1600))
    assert made
    with av.open(io.BytesIO(made), "r") as played:
        frame = next(played.decode(video=0))
        upright = frame.to_image()  # type: ignore[no-untyped-call]
    assert frame.rotation == 0
    assert upright.size == (1080, 1620)
    assert upright.getpixel((1060, 20))[2] > 200


async def test_a_film_that_plays_everywhere_is_left_alone(rendering: Ingest) -> None:
    assert await reencoded(rendering, "mp4", media.mp4(2.0)) is None
    assert await reencoded(rendering, "webm", media.webm(2.0)) is None
    scratch = rendering.data_dir / "scratch"
    await until(lambda: not list(scratch.iterdir()))
