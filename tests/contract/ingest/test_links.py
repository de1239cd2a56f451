"""URLs of stored bytes: what they are made of, and that they work as long as they should."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from sensorium.ingest.v1 import ingest_pb2

from services.runtime.settings import Settings
from tests import media
from tests.contract.ingest.conftest import Ingest, serving, whole
from tests.contract.ingest.test_renditions import read, rendered
from tests.contract.ingest.test_thumbnail import numbered_video, refused
from tests.harness import make_settings
from tests.object_server import object_server

PHOTO = media.jpeg()


def ask(ingest: Ingest, asset_id: str = "photo", tenant: str = "default", **wanted: Any) -> Any:
    request = ingest_pb2.GetAssetUrlRequest(asset_id=asset_id, **wanted)
    return ingest.stub.GetAssetUrl(request, metadata=(("sensorium-tenant", tenant),))


def fetch(url: str) -> tuple[bytes, str]:
    """The bytes at a URL and their media type."""
    with urllib.request.urlopen(url) as response:
        return response.read(), response.headers["Content-Type"]


def refusal(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(url)
    caught.value.close()
    return caught.value.code


async def test_a_template_is_filled_with_what_names_the_bytes(tmp_path: Path) -> None:
    template = "https://cdn.example/{tenant}/{sha256}/{rendition}?at={key}"
    async with serving(make_settings(tmp_path, cdn_url_template=template)) as ingest:
        sha256 = (await ingest.send(whole("photo", PHOTO), "acme")).asset.sha256
        made = await ask(ingest, tenant="acme")
        key = f"tenants/acme/media/{sha256[:2]}/{sha256}"
        assert made.url == f"https://cdn.example/acme/{sha256}/original?at={key}"
        assert not made.HasField("expire_time")
        assert (made.content.mime_type, made.content.size_bytes) == ("image/jpeg", len(PHOTO))
        assert await refused(ask(ingest)) == ("NOT_FOUND", "ASSET_NOT_FOUND", "photo")


async def test_media_in_a_local_folder_have_no_urls_unless_told_so(ingest: Ingest) -> None:
    await ingest.send(whole("photo", PHOTO))
    missing = ("FAILED_PRECONDITION", "URLS_NOT_CONFIGURED", "SENSORIUM_CDN_URL_TEMPLATE")
    assert await refused(ask(ingest)) == missing
    for ttl in (Duration(seconds=0), Duration(seconds=-1), Duration(seconds=7 * 86400 + 1)):
        told = await refused(ask(ingest, ttl=ttl))
        assert told == ("INVALID_ARGUMENT", "TTL_INVALID", "ttl")
    told = await refused(ask(ingest, rendition="nothing"))
    assert told == ("NOT_FOUND", "RENDITION_NOT_FOUND", "rendition")


@pytest.mark.parametrize(
    "template", ["cdn.example/{key}", "https://cdn.example/all", "https://cdn.example/{key}/{x}"]
)
def test_a_template_that_cannot_work_stops_the_start(template: str) -> None:
    with pytest.raises(ValueError, match="cdn_url_template"):
        Settings(cdn_url_template=template)


@pytest.fixture(scope="module")
def bucket_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a server that keeps its media in a bucket of a real object store."""
    folder = tmp_path_factory.mktemp("bucket")
    with object_server(folder / "s3") as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.store("media").put("made", b"")
        yield make_settings(folder, media_url="s3://media/here", renditions="none")


async def test_a_signed_url_works_as_long_as_it_says_and_only_as_it_is(
    bucket_settings: Settings,
) -> None:
    async with serving(bucket_settings) as ingest:
        await ingest.send(whole("photo", PHOTO))
        small = await ingest.stub.GetThumbnail(ingest_pb2.GetThumbnailRequest(asset_id="photo"))
        brief = await ask(ingest, ttl=Duration(seconds=1))
        made = await ask(ingest, ttl=Duration(seconds=60))
        assert await asyncio.to_thread(fetch, made.url) == (PHOTO, "image/jpeg")
        thumbnail = await ask(ingest, rendition="thumbnail")
        assert await asyncio.to_thread(fetch, thumbnail.url) == (small.jpeg, "image/jpeg")
        assert thumbnail.expire_time.ToSeconds() - time.time() == pytest.approx(3600, abs=60)
        longer = made.url.replace("Expires=60", "Expires=6000")
        other = made.url.replace(made.content.sha256, thumbnail.content.sha256)
        await asyncio.sleep(max(0.0, brief.expire_time.ToSeconds() + 2 - time.time()))
        for url in (longer, other, brief.url):
            assert await asyncio.to_thread(refusal, url) == 403


async def test_a_browser_is_told_what_it_gets(bucket_settings: Settings) -> None:
    """Not what the object store takes it for, which of Matroska is WebM."""
    async with serving(bucket_settings) as ingest:
        await ingest.send(whole("film", numbered_video(5)))
        made = await ask(ingest, "film")
        assert (await asyncio.to_thread(fetch, made.url))[1] == "video/x-matroska"


async def test_what_is_in_a_bucket_is_read_and_rendered_as_elsewhere(
    bucket_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.ingest.render_process.NICENESS", 0)
    settings = bucket_settings.model_copy(update={"renditions": "all"})
    content = numbered_video(20)
    async with serving(settings) as ingest:
        await ingest.send(whole("clip", content))
        made = await rendered(ingest, "clip")
        assert {"thumbnail", "keyframe-0", "video-web"} <= set(made)
        web = await read(ingest, "clip", made["video-web"])
        url = (await ask(ingest, "clip", rendition="video-web")).url
        assert await asyncio.to_thread(fetch, url) == (web, "video/mp4")
