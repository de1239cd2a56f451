"""The gateway's search over real stages and a real index; only the models are fakes."""

from collections.abc import Sequence

import pytest
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import evidence_pb2

from services.gateway.policy import Action, Policy, Rule
from services.gateway.relevance import Found, Sought, relevance
from tests.contract.gateway.conftest import World, document


def ids(results: Sequence[gateway_pb2.SearchResult]) -> list[str]:
    return [result.asset.asset_id for result in results]


async def test_an_asset_with_many_matches_hides_no_other_and_pages_fit_together(
    world: World,
) -> None:
    others = [f"other{number:02}" for number in range(12)]
    await world.store("long", *others)
    await world.index([document("long", number, 0.9) for number in range(400)])
    await world.index([document(name, n, 0.8 - n / 100) for n, name in enumerate(others)])
    whole = ids(await world.find(top_k=100))
    assert whole == ["long", *others]
    for size in (1, 5, 13):
        pages = [ids(await world.find(top_k=size, offset=o)) for o in range(0, 14, size)]
        assert [asset_id for page in pages for asset_id in page] == whole
    (long,) = await world.find(top_k=1, match_count_max=50)
    assert len(long.matches) == 50
    assert [match.score for match in long.matches] == sorted(
        (match.score for match in long.matches), reverse=True
    )


async def test_what_the_policy_blocks_by_now_is_passed_over_and_the_pages_are_full(
    world: World,
) -> None:
    names = [f"asset{number:02}" for number in range(12)]
    await world.store(*names)
    await world.index([document(names[0], number, 0.9) for number in range(200)])
    await world.index([document(name, n, 0.8 - n / 100) for n, name in enumerate(names[1:], 1)])
    for number in (0, 1, 2, 7):
        await world.note_finding(names[number], "sexual", 0.75)
    policy = Policy(input={"sexual": Rule(Action.BLOCK, 0.5)})
    listed = [name for number, name in enumerate(names) if number not in (0, 1, 2, 7)]
    assert ids(await world.find(policy, top_k=100)) == listed
    for size in (1, 3, 5):
        pages = [ids(await world.find(policy, top_k=size, offset=o)) for o in range(0, 8, size)]
        assert pages == [listed[o : o + size] for o in range(0, 8, size)]
    lenient = Policy(input={"sexual": Rule(Action.BLOCK, 0.9)})
    assert ids(await world.find(lenient, top_k=100)) == names


async def test_a_threshold_on_relevance_looks_behind_nearer_matches_of_another_kind(
    world: World,
) -> None:
    nearer, worth_more = 0.2, 0.19
    sought = [(Sought.WORDS, 1.0)]
    seen = relevance(nearer, Found.PICTURE, sought)
    heard = relevance(worth_more, Found.SPEECH, sought)
    assert seen < 0.5 < heard
    frames = [f"frame{number}" for number in range(3)]
    await world.store("speech", *frames)
    await world.index(
        [
            document(name, number, nearer, evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED)
            for name in frames
            for number in range(100)
        ]
    )
    await world.index([document("speech", 1, worth_more, evidence_pb2.EVIDENCE_ORIGIN_SPEECH)])
    (result,) = await world.find(relevance_min=0.5)
    assert ids([result]) == ["speech"]
    assert result.relevance == pytest.approx(heard, abs=1e-3)
    assert len(await world.find()) == 4
    assert await world.find(relevance_min=0.99) == []


async def test_a_threshold_on_relevance_misses_none_behind_an_asset_that_is_worth_it_later(
    world: World,
) -> None:
    speech = evidence_pb2.EVIDENCE_ORIGIN_SPEECH
    await world.store("first", "second", "mixed", "last")
    await world.index(
        [
            document("mixed", 1, 0.202, evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED),
            *(document("first", number, 0.2, speech) for number in range(127)),
            document("mixed", 2, 0.195, speech),
            *(document("second", number, 0.19, speech) for number in range(127)),
            document("last", 1, 0.185, speech),
        ]
    )
    found = await world.find(relevance_min=0.5)
    assert ids(found) == ["first", "mixed", "second", "last"]


async def test_a_label_is_told_and_does_not_stand_for_its_picture(world: World) -> None:
    await world.store("named", "nearer")
    await world.index(
        [
            document("named", 1, 0.5, evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED, second=3),
            document("named", 2, 0.9, evidence_pb2.EVIDENCE_ORIGIN_LABEL, second=3),
            document("nearer", 1, 0.6, evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED, second=3),
        ]
    )
    nearer, named = await world.find()
    assert ids([nearer, named]) == ["nearer", "named"]
    (match,) = named.matches
    assert match.preview_text == "words 2"
    assert match.similarity == pytest.approx(0.5, abs=1e-3)


async def test_what_a_place_shows_and_the_words_for_it_are_one_match(world: World) -> None:
    await world.store("film")
    unspoken = evidence_pb2.EVIDENCE_ORIGIN_UNSPECIFIED
    await world.index(
        [
            document("film", 1, 0.6, unspoken, second=7),
            document("film", 2, 0.5, second=7),
            document("film", 3, 0.4, second=9),
        ]
    )
    (film,) = await world.find()
    assert [match.locator.span.start.seconds for match in film.matches] == [7, 9]
    assert [match.preview_text for match in film.matches] == ["words 2", "words 3"]
    assert film.matches[0].similarity == pytest.approx(0.6, abs=1e-3)
    best = max(
        relevance(0.6, Found.PICTURE, [(Sought.WORDS, 1.0)]),
        relevance(0.5, Found.LABEL, [(Sought.WORDS, 1.0)]),
    )
    assert film.relevance == film.matches[0].relevance == pytest.approx(best, abs=1e-3)


async def test_an_asset_is_found_by_the_id_of_a_repetition(world: World) -> None:
    await world.store("first", "other")
    await world.store("again", content=b"text of first")
    await world.index([document("first", 1, 0.5), document("other", 2, 0.6)])
    assert ids(await world.find(asset_ids=["again"])) == ["first"]
    assert await world.find(asset_ids=["unknown"]) == []


async def test_what_is_indexed_and_not_stored_is_not_told(world: World) -> None:
    await world.store("kept")
    await world.index([document("kept", 1, 0.5), document("deleted", 2, 0.9)])
    assert ids(await world.find()) == ["kept"]


async def test_a_result_fits_a_message(world: World) -> None:
    names = [f"a{number:02}" for number in range(90)]
    await world.store(*names)
    long_words = []
    for number, name in enumerate(names):
        for part in range(25):
            each = document(name, number * 100 + part, 0.9 - number / 1000)
            each.evidence.text = "森" * 2000
            long_words.append(each)
    await world.index(long_words)
    response = gateway_pb2.SearchResponse(results=await world.find(top_k=90, match_count_max=50))
    assert 40 < len(response.results) < 90
    assert response.ByteSize() < 4 << 20
