"""Searches of the client: what is asked of the server, and what its answers become."""

import json
from pathlib import Path

import pytest
from sensorium_client import Client, events
from sensorium_client.findings import SearchAnswer
from sensorium_client.locators import TimeSpan
from sensorium_client.searching import QueryPart, SearchOptions, SearchQuery

from tests.unit.client.fake_gateway import FakeGateway
from tests.unit.client.test_commands import json_lines, run


async def test_a_mix_and_its_filters_reach_the_server(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"picture")
    parts = (QueryPart(text="at night", weight=0.6), QueryPart(file=picture, weight=0.4))
    options = SearchOptions(
        tags=("sea",), metadata={"k": "v"}, age_max_s=60, stored_from_s=1.5, offset=20
    )
    (result,) = await client.find(SearchQuery(parts, options))
    (request,) = gateway.searches
    assert [(part.text, part.media, round(part.weight, 3)) for part in request.parts] == [
        ("at night", b"", 0.6),
        ("", b"picture", 0.4),
    ]
    assert (list(request.tags), dict(request.metadata), request.offset) == (["sea"], {"k": "v"}, 20)
    assert request.age_max.ToSeconds() == 60
    assert request.create_time_min.ToMilliseconds() == 1500
    assert not request.HasField("create_time_max")
    assert (result.asset_name, result.modality, result.relevance) == ("harbour.mp4", "video", 0.875)
    assert result.matches[0].locator.span == TimeSpan(3.5, 5.0)


async def test_files_that_do_not_fit_a_message_together_are_stored_first(
    client: Client, gateway: FakeGateway, tmp_path: Path
) -> None:
    paths = [tmp_path / "one", tmp_path / "two"]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * (2 << 20))
    await client.find(SearchQuery(tuple(QueryPart(file=path) for path in paths)))
    (request,) = gateway.searches
    assert [part.WhichOneof("part") for part in request.parts] == ["media", "asset_id"]


async def test_many_queries_are_answered_by_their_names(client: Client) -> None:
    queries = {
        name: SearchQuery((QueryPart(text=name),), SearchOptions(offset=offset))
        for name, offset in (("a", 0), ("bad", 1), ("c", 0))
    }
    answers = [answer async for answer in client.find_many(queries)]
    found = {each.query_id: each.results for each in answers if isinstance(each, SearchAnswer)}
    assert {name: len(results) for name, results in found.items()} == {"a": 1, "c": 1}
    (failed,) = [each for each in answers if isinstance(each, events.ItemFailed)]
    assert (failed.item_id, failed.reason) == ("bad", "OFFSET_TOO_LARGE")


def test_a_part_is_one_thing() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        QueryPart(text="both", asset_id="a")
    with pytest.raises(ValueError, match="exactly one"):
        QueryPart()


async def test_the_command_reads_its_filters(
    address: str, gateway: FakeGateway, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"picture")
    code, out, error = await run(
        address,
        *("search", "at night", "--image", str(picture), "--weight", "image=0.25"),
        *("--tag", "sea", "--tag", "sun", "--meta", "project=a=b", "--user", "ada"),
        *("--since", "30d", "--after", "2026-01-31", "--min-relevance", "0.5", "--offset", "10"),
        *("--matches", "2", "--json"),
    )
    assert (code, error) == (0, "")
    (request,) = gateway.searches
    assert [part.weight for part in request.parts] == [1.0, 0.25]
    assert (list(request.tags), dict(request.metadata)) == (["sea", "sun"], {"project": "a=b"})
    assert request.age_max.ToSeconds() == 30 * 86400
    assert request.HasField("create_time_min")
    assert (request.user_id, request.offset, request.match_count_max) == ("ada", 10, 2)
    (line,) = json_lines(out)
    assert line["type"] == "result"
    assert line["matches"][0]["preview_text"] == "a red lighthouse"
    assert json.loads(out)["asset"]["description"]["name"] == "harbour.mp4"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--since", "30"), "such as 30d"),
        (("--weight", "image=1"), "no such part"),
        (("--weight", "text=much"), "text=0.6"),
        (("--meta", "project"), "KEY=VALUE"),
    ],
)
async def test_a_wrong_filter_is_explained(
    address: str, arguments: tuple[str, ...], hint: str
) -> None:
    code, _, error = await run(address, "search", "x", *arguments)
    assert code == 2
    assert hint in " ".join(error.replace("\u2502", " ").split())


async def test_look_alikes_are_listed(address: str, tmp_path: Path) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(b"picture")
    code, out, _ = await run(address, "duplicates", str(picture))
    assert code == 0
    assert "harbour.mp4" in out
    code, out, _ = await run(address, "duplicates", "--like", "a1", "--json")
    (line,) = json_lines(out)
    assert (line["type"], line["hamming_distance"]) == ("near_duplicate", 2)
    assert (await run(address, "duplicates"))[0] == 2
