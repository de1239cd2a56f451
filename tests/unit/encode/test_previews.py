"""Previews are heard when nothing else is, the newest of each asset, and leave nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from services.encode.encoder import Encoder, Outcome, StreamState
from services.encode.previews import ASSETS_MAX, Heard, PreviewListener, Previews
from services.encode.segments import EncodeOptions, Segment, SegmentKind, Speech, Utterance
from services.runtime.cache import ResultCache
from services.runtime.errors import InvalidInput
from tests.fakes import FakeEncoder
from tests.harness import make_settings


def sound(asset_id: str, samples: bytes, window: int = 0) -> Segment:
    segment_id = f"{asset_id}/audio/{window}"
    return Segment(segment_id, asset_id, SegmentKind.AUDIO_WINDOW, samples, sample_rate_hz=16_000)


@dataclass
class Desk:
    """One stream's previews and windows, on fakes; what is told is kept."""

    fake: FakeEncoder
    encoder: Encoder
    listener: PreviewListener
    options: EncodeOptions = field(default_factory=EncodeOptions)
    state: StreamState = field(default_factory=StreamState)
    told: list[tuple[str, str]] = field(default_factory=list)

    def previews(self, group: asyncio.TaskGroup) -> Previews:
        async def listen(preview: Segment) -> Heard | None:
            state = self.state
            return await self.listener.hear(preview, self.options, state.languages, state.meter)

        async def tell(preview: Segment, heard: Heard) -> None:
            self.told.append((preview.segment_id, " ".join(said.text for said in heard)))

        return Previews(self.listener.turn, listen, tell, group)

    async def window(self, segment: Segment) -> None:
        """Encodes a window."""

        async def ignore(_: Outcome) -> None:
            """Only the speech engine is looked at."""

        await self.encoder.encode(segment, self.options, self.state, ignore)

    @property
    def heard(self) -> list[tuple[bytes, bool]]:
        """What the speech engine was given: samples, and whether a draft is enough."""
        return [(speech.samples, speech.draft) for (speech,) in self.fake.speech.batches]


@pytest.fixture
async def desk(fake: FakeEncoder, tmp_path: Path) -> AsyncIterator[Desk]:
    fake.speech.respond = lambda speech: (
        Utterance(speech.samples.decode(), speech.language, 0.0, 1.0, 0.9, ()),
    )
    engines = await fake.engines(make_settings(tmp_path))
    yield Desk(fake, Encoder(engines, ResultCache(1 << 20)), PreviewListener(engines))
    await engines.close()


async def test_only_the_newest_of_an_asset_is_heard(desk: Desk) -> None:
    desk.fake.speech.gate.clear()
    async with asyncio.TaskGroup() as group:
        previews = desk.previews(group)
        previews.offer(sound("a", b"one1"))
        await desk.fake.speech.wait_entered()
        for samples in (b"one2", b"one3", b"one4"):
            previews.offer(sound("a", samples))
        desk.fake.speech.gate.set()
    assert desk.heard == [(b"one1", True), (b"one4", True)]
    assert desk.told == [("a/audio/0", "one1"), ("a/audio/0", "one4")]


async def test_all_streams_together_hear_one_at_a_time(desk: Desk) -> None:
    desk.fake.speech.gate.clear()
    async with asyncio.TaskGroup() as group:
        for stream in range(3):
            desk.previews(group).offer(sound("a", b"say%d" % stream))
        await desk.fake.speech.wait_entered()
        await asyncio.sleep(0.05)
        assert len(desk.heard) == 1
        desk.fake.speech.gate.set()
    assert len(desk.told) == 3


async def test_a_preview_is_dropped_while_a_window_is_heard(desk: Desk) -> None:
    desk.fake.speech.gate.clear()
    async with asyncio.TaskGroup() as group:
        previews = desk.previews(group)
        window = group.create_task(desk.window(sound("a", b"whole.")))
        await desk.fake.speech.wait_entered()
        previews.offer(sound("b", b"part"))
        await asyncio.sleep(0.05)
        desk.fake.speech.gate.set()
        await window
    assert desk.heard == [(b"whole.", False)]
    assert desk.told == []


async def test_nothing_is_told_of_a_preview_once_its_window_has_come(desk: Desk) -> None:
    desk.fake.speech.gate.clear()
    async with asyncio.TaskGroup() as group:
        previews = desk.previews(group)
        previews.offer(sound("a", b"part"))
        await desk.fake.speech.wait_entered()
        previews.offer(sound("a", b"more"))
        ((speech,),) = desk.fake.speech.batches
        previews.overtake("a")
        assert await asyncio.to_thread(speech.cancelled.wait, 10)
        desk.fake.speech.gate.set()
        await desk.window(sound("a", b"whole."))
        previews.offer(sound("a", b"next", window=1))
    assert desk.told == [("a/audio/1", "next")]
    assert desk.heard == [(b"part", True), (b"whole.", False), (b"next", True)]


async def test_a_closed_stream_hears_no_more(desk: Desk) -> None:
    desk.fake.speech.gate.clear()
    async with asyncio.TaskGroup() as group:
        previews = desk.previews(group)
        for asset_id in ("a", "b"):
            previews.offer(sound(asset_id, b"part"))
        await desk.fake.speech.wait_entered()
        previews.close()
        desk.fake.speech.gate.set()
    assert desk.told == []
    assert len(desk.heard) == 1


async def test_a_guess_is_neither_cached_nor_taken_from_the_cache(desk: Desk) -> None:
    async with asyncio.TaskGroup() as group:
        desk.previews(group).offer(sound("a", b"same"))
    await desk.window(sound("a", b"same"))
    async with asyncio.TaskGroup() as group:
        desk.previews(group).offer(sound("a", b"same"))
    assert desk.heard == [(b"same", True), (b"same", False), (b"same", True)]
    assert (desk.state.cache_hit_count, desk.state.cache_miss_count) == (0, 1)


async def test_a_guess_does_not_settle_the_language(desk: Desk) -> None:
    desk.options = EncodeOptions(language="auto")

    def hear(speech: Speech) -> tuple[Utterance, ...]:
        language = "cy" if speech.draft else "de"
        asked = language if speech.language == "auto" else speech.language
        return (Utterance("said", asked, 0.0, 1.0, 0.9, ()),)

    desk.fake.speech.respond = hear
    for segment in (sound("a", b"part"), sound("a", b"more", window=1)):
        async with asyncio.TaskGroup() as group:
            desk.previews(group).offer(segment)
        await desk.window(replace(segment, payload=segment.payload + b"...."))
    asked = [(speech.draft, speech.language) for (speech,) in desk.fake.speech.batches]
    assert asked == [(True, "auto"), (False, "auto"), (True, "de"), (False, "de")]


async def test_a_preview_that_fails_costs_only_itself(desk: Desk) -> None:
    desk.fake.speech.fail = lambda speech: InvalidInput("BAD", "No.") if speech.draft else None
    async with asyncio.TaskGroup() as group:
        previews = desk.previews(group)
        previews.offer(sound("a", b"part"))
        previews.offer(replace(sound("b", b"part"), sample_rate_hz=8000))
    assert desk.told == []
    await desk.window(sound("a", b"whole."))
    assert desk.heard[-1] == (b"whole.", False)


async def test_a_stream_has_few_assets_listened_to(desk: Desk) -> None:
    async with asyncio.TaskGroup() as group:
        previews = desk.previews(group)
        for number in range(3 * ASSETS_MAX):
            previews.offer(sound(f"asset{number}", b"part"))
    assert len(desk.told) == ASSETS_MAX
