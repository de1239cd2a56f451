"""What is cached of an asset goes with it, of its own tenant only."""

from pathlib import Path

from services.encode.encoder import Encoder, Outcome, StreamState, TaskDone
from services.encode.segments import EncodeOptions, Segment, SegmentKind
from services.runtime.cache import ResultCache
from tests.fakes import FakeEncoder
from tests.harness import make_settings

SEGMENTS = (
    Segment("a/view/0", "a", SegmentKind.IMAGE_VIEW, b"picture"),
    Segment("a/window/0", "a", SegmentKind.AUDIO_WINDOW, b"sound.", sample_rate_hz=16_000),
    Segment("a/text/0", "a", SegmentKind.TEXT_PASSAGE, b"a tabby on a sofa"),
)


async def cached(encoder: Encoder, tenant: str) -> set[bool]:
    """Encode everything; whether results came from the cache."""
    outcomes: list[Outcome] = []

    async def report(outcome: Outcome) -> None:
        outcomes.append(outcome)

    for segment in SEGMENTS:
        await encoder.encode(segment, EncodeOptions(tenant), StreamState(), report)
    return {outcome.cached for outcome in outcomes if isinstance(outcome, TaskDone)}


async def test_what_is_cached_of_an_asset_goes_with_it(fake: FakeEncoder, tmp_path: Path) -> None:
    cache = ResultCache(1 << 20)
    encoder = Encoder(await fake.engines(make_settings(tmp_path)), cache)
    for tenant in ("one", "two"):
        await cached(encoder, tenant)
        assert await cached(encoder, tenant) == {True}
    await encoder.forget("one", ["a"])
    assert await cached(encoder, "two") == {True}
    await encoder.forget("two", ["a"])
    # The vectors of the words that were found in it too.
    assert cache.held_bytes == 0
    assert await cached(encoder, "one") == {False}
