"""Look-alikes: all that are near enough, nearest first, of the tenant alone."""

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.search.filters import Scope
from tests.unit.search.builders import SPACE, open_index, record

# Few bits at both ends, so that some are near each other.
_HASHES = st.integers(0, 15).flatmap(lambda low: st.sampled_from([low, low | 1 << 63, low << 60]))


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@settings(max_examples=15)
@example(stored=[None, 1 << 63], wanted=[1 << 63], distance_max=0)
@given(
    stored=st.lists(st.none() | _HASHES, min_size=1, max_size=12),
    wanted=st.lists(_HASHES, min_size=1, max_size=3),
    distance_max=st.integers(0, 3),
)
async def test_the_near_ones_are_found_with_their_distance(
    stored: list[int | None], wanted: list[int], distance_max: int
) -> None:
    expected = {
        f"a{number}": min(distance(value, other) for other in wanted)
        for number, value in enumerate(stored)
        if value is not None and number > 0
    }
    with tempfile.TemporaryDirectory() as folder:
        async with open_index(Path(folder)) as index:
            for tenant in ("tenant", "other"):
                await index.add(
                    *(
                        record(f"d{n}", tenant_id=tenant, asset_id=f"a{n}", perceptual_hash=value)
                        for n, value in enumerate(stored)
                    )
                )
            scope = Scope("tenant", excluded_asset_ids=("a0",))
            found = await index.searcher.look_alikes(SPACE, scope, wanted, distance_max)
            assert not await index.searcher.look_alikes(SPACE, Scope("third"), wanted, 16)
    assert {each.asset_id: each.distance for each in found} == {
        asset_id: least for asset_id, least in expected.items() if least <= distance_max
    }
    assert [each.distance for each in found] == sorted(each.distance for each in found)
    for each in found:
        value = stored[int(each.asset_id[1:])]
        assert value is not None
        assert distance(value, wanted[each.query_index]) == each.distance


async def test_before_anything_is_indexed_nothing_looks_alike(tmp_path: Path) -> None:
    async with open_index(tmp_path) as index:
        assert await index.searcher.look_alikes(SPACE, Scope("tenant"), [1], 16) == []
