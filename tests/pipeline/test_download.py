"""What was stored comes back through the front door: all, a part, and what was made of it."""

import asyncio
import os
import sys
from contextlib import aclosing
from pathlib import Path

import pytest
from sensorium_client import Client
from sensorium_client.errors import SensoriumClientError
from sensorium_client.media import file_sha256
from sensorium_client.samples import Samples

from tests.pipeline.platform import Platform


async def read(client: Client, asset_id: str, offset: int = 0, rendition: str = "") -> bytes:
    opened = client.download(asset_id, offset=offset, rendition=rendition)
    async with opened as download, aclosing(download.pieces()) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_what_was_stored_comes_back(client: Client, samples: Samples) -> None:
    content = await asyncio.to_thread(samples.film.read_bytes)
    film_id = await client.stored_asset_id(samples.film)
    assert await read(client, film_id) == content
    assert await read(client, film_id, offset=len(content) - 5) == content[-5:]
    thumbnail = await client.thumbnail(film_id)
    assert await read(client, film_id, rendition="thumbnail") == thumbnail
    made = {rendition.name: rendition for rendition in await client.renditions(film_id)}
    assert made["thumbnail"].size_bytes == len(thumbnail)


async def test_what_cannot_come_back_says_why(client: Client, samples: Samples) -> None:
    film_id = await client.stored_asset_id(samples.film)
    with pytest.raises(SensoriumClientError) as caught:
        await read(client, film_id, offset=1 << 40)
    assert (caught.value.code, caught.value.reason) == ("OUT_OF_RANGE", "RANGE_PAST_END")
    with pytest.raises(SensoriumClientError) as caught:
        await client.renditions("nobody")
    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "ASSET_NOT_FOUND")
    with pytest.raises(SensoriumClientError) as caught:
        await client.asset_url(film_id)
    told = caught.value
    assert (told.code, told.reason) == ("FAILED_PRECONDITION", "URLS_NOT_CONFIGURED")
    assert told.subject == "SENSORIUM_CDN_URL_TEMPLATE"


async def test_the_command_fetches_by_the_hash_of_the_file(
    platform: Platform, client: Client, samples: Samples, tmp_path: Path
) -> None:
    await client.stored_asset_id(samples.photo)
    sha256 = await file_sha256(samples.photo)
    target = tmp_path / "again.jpg"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sensorium_client.cli", "download", sha256, "-o", str(target)),
        env={**os.environ, "SENSORIUM_SERVER": platform.address},
    )
    assert await process.wait() == 0
    assert await file_sha256(target) == sha256
    assert [path.name for path in await asyncio.to_thread(lambda: list(tmp_path.iterdir()))] == [
        "again.jpg"
    ]
