"""Search from end to end: mixes, filters, pages, moments and look-alikes, on real models."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from PIL import Image, ImageEnhance
from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from sensorium_client import Client
from sensorium_client.findings import SearchAnswer, SearchResult
from sensorium_client.media import MediaFile
from sensorium_client.samples import Samples
from sensorium_client.searching import QueryPart, SearchOptions, SearchQuery

from tests.known_media import picture
from tests.pipeline.streams import told_by_status

TAG = "search-tests"
MINE = SearchOptions(tags=(TAG,))
NAMES = ("astronaut", "coffee", "motorcycle_left", "rocket")


def drawn(name: str) -> Image.Image:
    return picture(f"{name}.jpg" if name == "rocket" else f"{name}.png")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pictures whose bytes no other test sends."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = {name: folder / f"{name}.jpg" for name in NAMES}
    for name, path in paths.items():
        drawn(name).save(path, quality=83)
    return paths


@pytest.fixture(autouse=True)
async def stored(client: Client, pictures: dict[str, Path]) -> AsyncIterator[None]:
    """The pictures are stored, each with its name as metadata."""
    files = [
        MediaFile(path, tags=(TAG, f"of-{name[0]}"), metadata={"name": name})
        for name, path in pictures.items()
    ]
    async for _ in client.upload(files):
        pass
    yield


def names(results: tuple[SearchResult, ...]) -> list[str]:
    return [result.asset_name.removesuffix(".jpg") for result in results]


async def find(client: Client, *parts: QueryPart, **options: Any) -> list[str]:
    narrowed = SearchOptions(**{**vars(MINE), **options})
    return names(await client.find(SearchQuery(parts, narrowed)))


async def test_a_mix_goes_from_one_part_to_the_other_with_its_weights(
    client: Client, pictures: dict[str, Path]
) -> None:
    def mix(words: float, looks: float) -> tuple[QueryPart, ...]:
        return (
            QueryPart(text="a cup of coffee", weight=words),
            QueryPart(file=pictures["motorcycle_left"], weight=looks),
        )

    assert (await find(client, *mix(1, 0)))[0] == "coffee"
    assert (await find(client, *mix(0, 1)))[0] == "motorcycle_left"
    assert set((await find(client, *mix(0.5, 0.5)))[:2]) == {"coffee", "motorcycle_left"}
    assert await find(client, *mix(0.6, 0.4)) == await find(client, *mix(6, 4))
    assert await find(client, *mix(1, 0)) == await find(client, QueryPart(text="a cup of coffee"))


async def test_filters(client: Client) -> None:
    query = QueryPart(text="a picture")
    now_s = time.time()
    everything = sorted(NAMES)
    narrowings: list[tuple[dict[str, Any], list[str]]] = [
        ({}, everything),
        ({"tags": (TAG, "of-c")}, ["coffee"]),
        ({"metadata": {"name": "rocket"}}, ["rocket"]),
        ({"metadata": {"name": "rocket", "other": ""}}, []),
        ({"modalities": ("video",)}, []),
        ({"age_max_s": 3600}, everything),
        ({"stored_from_s": now_s - 3600, "stored_before_s": now_s + 60}, everything),
        ({"stored_before_s": now_s - 3600}, []),
        ({"user_id": "nobody"}, []),
        ({"tags": (TAG, "x'] OR ['1'='1")}, []),
    ]
    for narrowed, expected in narrowings:
        assert sorted(await find(client, query, **narrowed)) == expected, narrowed


async def test_pages_are_parts_of_one_list(client: Client) -> None:
    query = QueryPart(text="an animal")
    whole = await find(client, query)
    assert len(whole) == len(NAMES)
    pages = [await find(client, query, top_k=1, offset=offset) for offset in range(len(NAMES) + 1)]
    assert [name for page in pages for name in page] == whole


async def test_a_threshold_leaves_what_is_relevant(client: Client) -> None:
    query = SearchQuery((QueryPart(text="a motor vehicle"),), MINE)
    everything = await client.find(query)
    assert names(everything)[0] == "motorcycle_left"
    least = everything[0].relevance - 0.01
    relevant = await find(client, *query.parts, relevance_min=least)
    assert relevant == [each for each in names(everything) if each in relevant]
    assert set(relevant) == {
        name
        for name, result in zip(names(everything), everything, strict=True)
        if result.relevance >= least
    }
    assert len(relevant) < len(NAMES)


async def test_results_carry_their_asset_and_moments_with_pictures(
    client: Client, samples: Samples
) -> None:
    film_id = await client.stored_asset_id(samples.film)
    options = SearchOptions(asset_ids=(film_id,), thumbnails=True, match_count_max=3)
    (result,) = await client.find(SearchQuery((QueryPart(text="a rabbit"),), options))
    assert result.asset.description.duration_s == pytest.approx(5.3, abs=0.2)
    assert result.asset.description.width_px > 0
    assert 1 <= len(result.matches) <= 3
    assert [match.score for match in result.matches] == sorted(
        (match.score for match in result.matches), reverse=True
    )
    assert result.relevance >= max(match.relevance for match in result.matches)
    for match in result.matches:
        assert match.locator.span
        assert match.thumbnail.startswith(b"\xff\xd8")


async def test_like_an_asset_finds_others(client: Client, pictures: dict[str, Path]) -> None:
    asset_id = await client.stored_asset_id(pictures["motorcycle_left"])
    alike = await find(client, QueryPart(asset_id=asset_id))
    assert "motorcycle_left" not in alike
    assert len(alike) == len(NAMES) - 1


async def test_long_queries_and_long_lists_are_taken_up_to_their_limits(
    client: Client, stub: "gateway_pb2_grpc.GatewayServiceAsyncStub"
) -> None:
    words = gateway_pb2.SearchRequest(text="a cup of coffee " * 500, tags=[TAG])
    assert len(words.text) == 8000
    assert (await stub.Search(words)).results
    named = [asset.asset_id async for asset in client.list_assets()]
    many = gateway_pb2.SearchRequest(text="coffee", tags=[TAG])
    many.asset_ids.extend([*(f"unknown-{number}" for number in range(4000)), *named])
    assert len((await stub.Search(many)).results) == len(NAMES)
    for field, reason in (("text", "TEXT_TOO_LONG"), ("asset_ids", "TOO_MANY_ASSETS")):
        past = gateway_pb2.SearchRequest(text=words.text + "!" * (field == "text"))
        past.asset_ids.extend(["a"] * (5001 * (field == "asset_ids")))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Search(past)
        told = told_by_status(refused.value)
        assert (told.code, told.reason, told.subject) == ("INVALID_ARGUMENT", reason, field)


async def test_many_searches_on_one_stream(
    client: Client, stub: "gateway_pb2_grpc.GatewayServiceAsyncStub"
) -> None:
    texts = {"motor": "a motor vehicle", "cup": "a cup of coffee"}
    queries = {key: SearchQuery((QueryPart(text=text),), MINE) for key, text in texts.items()}
    queries["bad"] = SearchQuery((QueryPart(asset_id="no-such"),))
    answers = [answer async for answer in client.find_many(queries)]
    found = {each.query_id: each.results for each in answers if isinstance(each, SearchAnswer)}
    assert {key: names(results)[0] for key, results in found.items()} == {
        "motor": "motorcycle_left",
        "cup": "coffee",
    }
    (failed,) = [each for each in answers if not isinstance(each, SearchAnswer)]
    assert (failed.item_id, failed.reason) == ("bad", "ASSET_NOT_FOUND")
    empty = [gateway_pb2.StreamingSearchRequest(config=gateway_pb2.SearchConfig())]
    kinds = [event.WhichOneof("event") async for event in stub.StreamingSearch(iter(empty))]
    assert kinds == ["ready", "summary"]


async def test_look_alikes_in_another_size_and_light(
    client: Client, pictures: dict[str, Path], tmp_path: Path
) -> None:
    changed = ImageEnhance.Brightness(drawn("coffee").resize((300, 200))).enhance(0.8)
    path = tmp_path / "changed.png"
    changed.save(path)
    by_file = await client.near_duplicates(path)
    assert by_file[0].hamming_distance <= 4
    mine = {duplicate.asset.description.name for duplicate in by_file}
    assert "coffee.jpg" in mine
    assert not mine & {"astronaut.jpg", "motorcycle_left.jpg", "rocket.jpg"}
    assert by_file[0].look_alikes[0].locator.region
    asset_id = await client.stored_asset_id(pictures["coffee"])
    others = await client.near_duplicates(asset_id=asset_id)
    assert asset_id not in {duplicate.asset.asset_id for duplicate in others}
