"""The main job, end to end on real models: media and questions in, tokens and citations out."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from sensorium_client import Client, events
from sensorium_client.media import LiveMedia, MediaFile
from sensorium_client.options import AskOptions
from sensorium_client.samples import Samples

from tests import media

SHORT = AskOptions(max_tokens=24, reuse_stored=False)
LAST_BYTES = 4096
"""Of the recording, about its last second."""
FIVE_EDGES = {
    "sensorium.ingest.v1.IngestService/StreamingIngest",
    "sensorium.encode.v1.EncodeService/StreamingEncode",
    "sensorium.fuse.v1.FuseService/StreamingFuse",
    "sensorium.generate.v1.GenerateService/StreamingGenerate",
    "sensorium.search.v1.SearchService/StreamingIndex",
}


async def ask(
    client: Client, question: str, files: Iterable[Path | MediaFile] = (), **options: object
) -> "Seen":
    asked = AskOptions(**{**vars(SHORT), **options})
    return Seen([event async for event in client.ask(question, files, options=asked)])


def says(text: str, word: str) -> bool:
    """Whether a word is in a text, split or not: whisper writes "light house" on some CPUs."""
    return word in text.lower().replace(" ", "")


class Seen:
    """The events of one question."""

    def __init__(self, stream: list[events.Event]) -> None:
        self.stream = stream
        self.kinds = [event.type for event in stream]
        self.text = "".join(e.text for e in stream if isinstance(e, events.Token))
        self.citations = [e for e in stream if isinstance(e, events.Citation)]
        self.stored = [e.asset for e in stream if isinstance(e, events.AssetStored)]
        self.transcript = " ".join(e.text for e in stream if isinstance(e, events.Transcript))
        self.indexed = [e for e in stream if isinstance(e, events.AssetIndexed)]
        weights = [e for e in stream if isinstance(e, events.EvidenceWeights)]
        self.evidence = list(weights[0].evidence) if weights else []
        self.gates = dict(weights[0].modality_weights) if weights else {}
        self.complete = next(e for e in stream if isinstance(e, events.TurnComplete))

    def words_of(self, name: str) -> str:
        return " ".join(e.text for e in self.evidence if e.asset_name == name).lower()

    def check(self) -> None:
        """What holds of every answer."""
        assert self.text.strip()
        assert self.kinds[0] == "ready"
        assert self.kinds[-1] == "summary"
        ids = {piece.evidence_id for piece in self.evidence}
        hashes = {asset.sha256 for asset in self.stored}
        for citation in self.citations:
            assert citation.evidence.evidence_id in ids
            assert citation.asset_sha256 in hashes
        if self.evidence:
            assert sum(piece.weight for piece in self.evidence) == pytest.approx(1, abs=1e-3)
            assert sum(self.gates.values()) == pytest.approx(1, abs=1e-3)
            cited = {citation.evidence.asset_id for citation in self.citations}
            assert cited == {piece.asset_id for piece in self.evidence}


async def test_a_question_of_text_alone(client: Client) -> None:
    seen = await ask(client, "What is the capital of France?")
    seen.check()
    assert "Paris" in seen.text
    assert "evidence" not in seen.kinds


async def test_a_photo(client: Client, samples: Samples) -> None:
    seen = await ask(client, "What animal is in the photo?", [samples.photo])
    seen.check()
    assert "cat" in seen.words_of("photo.jpg")
    assert seen.indexed[0].document_count > 0
    region = seen.citations[0].evidence.locator.region
    assert region
    assert region.width_px > 0


async def test_a_recording(client: Client, samples: Samples) -> None:
    seen = await ask(client, "What is said in the recording?", [samples.recording])
    seen.check()
    for word in ("lighthouse", "captain", "museum", "strawberry"):
        assert says(seen.transcript, word)
    span = seen.citations[0].evidence.locator.span
    assert span
    assert 0 <= span.start_s < span.end_s <= 12


async def test_a_film(client: Client, samples: Samples) -> None:
    seen = await ask(client, "What happens in the video?", [samples.film])
    seen.check()
    film = seen.stored[0].description
    assert film.has_video
    assert film.has_audio
    assert film.duration_s == pytest.approx(5.3, abs=0.2)
    for piece in seen.evidence:
        assert piece.locator.span
        assert piece.locator.span.end_s <= 5.8


async def test_all_three_at_once(client: Client, samples: Samples) -> None:
    files = [samples.photo, samples.recording, samples.film]
    seen = await ask(client, "What is in the photo and what is said?", files)
    seen.check()
    assert {piece.asset_name for piece in seen.evidence} == {path.name for path in files}
    assert set(seen.gates) == {"image", "audio", "video"}
    assert len(seen.stored) == 3


async def test_a_question_about_writing_waits_for_it(client: Client, tmp_path: Path) -> None:
    page = Image.new("RGB", (800, 300), "white")
    font = ImageFont.load_default(size=48)
    ImageDraw.Draw(page).text((40, 60), "TOTAL 48.70 EUR", fill="black", font=font)
    ImageDraw.Draw(page).text((40, 160), "Table 12, thank you", fill="black", font=font)
    path = tmp_path / "receipt.png"
    page.save(path)
    seen = await ask(client, "What is the total on the receipt?", [path])
    seen.check()
    read = [piece for piece in seen.evidence if piece.origin == "ocr"]
    assert any("48.70" in piece.text for piece in read)
    assert all(piece.locator.region for piece in read)


async def test_words_of_a_live_recording_come_before_its_end(
    client: Client, samples: Samples
) -> None:
    heard = asyncio.Event()

    async def recorded() -> AsyncIterator[bytes]:
        content = samples.recording.read_bytes()
        yield content[:-LAST_BYTES]
        await heard.wait()
        yield content[-LAST_BYTES:]

    live = LiveMedia(samples.recording.name, recorded())
    told: list[events.Event] = []
    async with asyncio.timeout(90.0):
        async for event in client.ask("What was built on the island?", [live], options=SHORT):
            told.append(event)
            if isinstance(event, events.Transcript):
                heard.set()
    seen = Seen(told)
    seen.check()
    assert seen.kinds.index("transcript") < seen.kinds.index("asset")
    assert seen.complete.timings.overlap > 0


async def test_stored_media_is_asked_again_without_sending_it(client: Client, rocket: Path) -> None:
    first = await ask(client, "What is this?", [rocket])
    again = await ask(client, "What is this?", [rocket], reuse_stored=True)
    assert again.kinds[0] == "already_stored"
    assert again.complete.usage.media_bytes == 0
    assert {e.text for e in again.evidence} >= {e.text for e in first.evidence}
    assert again.citations


async def test_equal_bytes_are_encoded_once(client: Client, rocket: Path) -> None:
    await ask(client, "What is this?", [rocket])
    again = await ask(client, "What is this?", [rocket])
    assert again.complete.usage.cache_hit_count > 0
    assert again.stored[0].duplicate_of


async def test_what_was_sent_is_found_across_modalities(
    client: Client, samples: Samples, rocket: Path
) -> None:
    async for _ in client.upload([samples.photo, samples.recording, samples.film, rocket]):
        pass
    by_text = await client.search(text="a cat", top_k=5)
    assert by_text[0].asset_name == "photo.jpg"
    speech = await client.search(text="kids looking at exhibits, then a cold dessert", top_k=4)
    heard = [match for found in speech for match in found.matches if match.origin == "speech"]
    assert "museum" in heard[0].preview_text.lower()
    assert heard[0].locator.span
    by_image = await client.search(image=rocket, top_k=5)
    assert by_image[0].asset_name == "rocket.jpg"
    only_video = await client.search(text="animal", modalities=["video"], top_k=5)
    assert {hit.modality for hit in only_video} == {"video"}
    by_sound = await client.search(audio=samples.recording, top_k=3)
    # The latter is the same recording, stored by another test.
    assert by_sound[0].asset_name in {"recording.ogg", "talk.wav"}


async def test_recall_consults_what_was_stored_before(client: Client, samples: Samples) -> None:
    async for _ in client.upload([samples.recording]):
        pass
    seen = await ask(client, "Who built the lighthouse on the island?", recall=True)
    assert any(says(piece.text, "lighthouse") for piece in seen.evidence)
    assert any(c.evidence.asset_name == "recording.ogg" for c in seen.citations)


async def test_a_later_turn_knows_the_media_of_an_earlier_one(
    client: Client, samples: Samples
) -> None:
    async with client.converse(SHORT) as conversation:
        async for _ in conversation.ask("What is in the photo?", [str(samples.photo)]):
            pass
        second = [event async for event in conversation.ask("Is it an animal?")]
        weights = [e for e in second if isinstance(e, events.EvidenceWeights)]
        assert any("cat" in piece.text for piece in weights[0].evidence)
        await conversation.finish()


async def test_caption_and_transcript_of_a_stored_asset(client: Client, samples: Samples) -> None:
    photo_id = await client.stored_asset_id(samples.photo)
    caption = await client.caption(asset_id=photo_id)
    assert caption.text
    assert caption.citations
    detailed = await client.caption(asset_id=photo_id, detailed=True)
    assert len(detailed.text) >= len(caption.text)
    assert detailed.citations
    speech_id = await client.stored_asset_id(samples.recording)
    lines = [line async for line in client.transcribe(asset_id=speech_id)]
    assert says(" ".join(line.text for line in lines), "lighthouse")
    starts = [line.span.start_s for line in lines]
    assert starts == sorted(starts)


async def test_one_trace_spans_every_edge_of_the_walk(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "new.jpg"
    path.write_bytes(media.jpeg(333, 222))
    seen = await ask(client, "What is this?", [path])
    ready = next(event for event in seen.stream if isinstance(event, events.Ready))
    spans = await client.get_trace(ready.trace_id)
    by_id = {span.span_id: span for span in spans}
    clients = {span.name for span in spans if span.kind == "client"}
    servers = {span.name for span in spans if span.kind == "server"}
    assert clients >= FIVE_EDGES
    assert servers >= clients
    for span in spans:
        if span.kind == "server" and "gateway" not in span.name:
            assert by_id[span.parent_span_id].name == span.name
    assert any(span.name.endswith(".batch") for span in spans)
