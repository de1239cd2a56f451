"""A second question on the stream: what the index found meanwhile is known, and read already."""

from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from PIL import Image
from sensorium_client import Client, events
from sensorium_client.conversation import Conversation
from sensorium_client.media import MediaFile
from sensorium_client.options import AskOptions

from tests.known_media import page, picture
from tests.pipeline import platform

Told = TypeVar("Told", bound=events.Event)

SHORT = AskOptions(max_tokens=24, reuse_stored=False)
READ_AHEAD = "sensorium.generate.v1.GenerateService/ReadAhead"
QUESTION_TOKENS_MAX = 24
"""A short question, the template around it, and the end of the answer before it."""


def motorcycle(path: Path, width_px: int) -> Path:
    """A photo with the maker's name on it."""
    photo = picture("motorcycle_left.png")
    height_px = photo.height * width_px // photo.width
    photo.resize((width_px, height_px), Image.Resampling.BICUBIC).save(path)
    return path


class Turn:
    """What was told of a question up to its answer."""

    def __init__(self, told: list[events.Event]) -> None:
        self.answer = "".join(each.text for each in told if isinstance(each, events.Token))
        weights = [each for each in told if isinstance(each, events.EvidenceWeights)]
        self.evidence = [piece for each in weights for piece in each.evidence if piece.in_context]
        self.usage = next(each.usage for each in told if isinstance(each, events.TurnComplete))

    def read(self, word: str) -> bool:
        """Whether the model was told of a word as written in a photo."""
        return any(word in piece.text for piece in self.evidence if piece.origin == "ocr")


async def ask(conversation: Conversation, question: str, *files: Path) -> Turn:
    return Turn([event async for event in conversation.ask(question, map(MediaFile, files))])


async def until(conversation: Conversation, kind: type[Told]) -> Told:
    """The next event of a kind."""
    async with aclosing(conversation.events()) as told:
        async for event in told:
            if isinstance(event, kind):
                return event
    raise AssertionError(kind)


async def read_ahead(client: Client, trace_id: str) -> bool:
    spans = await client.get_trace(trace_id)
    return any(span.name == READ_AHEAD and span.kind == "server" for span in spans)


async def test_what_is_found_between_two_questions_is_read_before_the_second(
    client: Client, tmp_path: Path
) -> None:
    photo = motorcycle(tmp_path / "photo.jpg", 1480)
    async with client.converse(SHORT) as conversation:
        ready = await until(conversation, events.Ready)
        first = await ask(conversation, "What is in this picture?", photo)
        assert not first.read("YAMAHA")
        await until(conversation, events.AssetIndexed)
        await platform.until(lambda: read_ahead(client, ready.trace_id), 30, "read ahead")
        second = await ask(conversation, "What does the photo show?")
        assert second.read("YAMAHA")
        unread = second.usage.prompt_token_count - second.usage.cached_token_count
        assert unread <= QUESTION_TOKENS_MAX
        # The turn after it rests on the same lines.
        third = await ask(conversation, "Describe it.")
        assert third.read("YAMAHA")
        await conversation.finish()


async def test_a_second_question_that_asks_to_read_gets_what_is_written(
    client: Client, tmp_path: Path
) -> None:
    photo = motorcycle(tmp_path / "photo.jpg", 1500)
    async with client.converse(SHORT) as conversation:
        first = await ask(conversation, "What is in this picture?", photo)
        assert not first.read("YAMAHA")
        # At once, while the index job still reads.
        second = await ask(conversation, "Which brand is written on it?")
        assert second.read("YAMAHA")
        assert "yamaha" in second.answer.lower()
        await conversation.finish()


async def test_of_known_bytes_the_second_question_gets_what_is_written_too(
    client: Client, tmp_path: Path
) -> None:
    photo = motorcycle(tmp_path / "photo.jpg", 1520)
    async for _ in client.upload([photo]):
        pass
    async with client.converse(SHORT) as conversation:
        await ask(conversation, "What is in this picture?", photo)
        assert (await ask(conversation, "Which brand is written on it?")).read("YAMAHA")
        await conversation.finish()


async def test_of_a_page_of_text_the_second_question_chooses(
    client: Client, tmp_path: Path
) -> None:
    lines = [f"Room {number}: the green door opens at {number} past nine." for number in range(40)]
    lines[25] = "The lighthouse keeper is called Ingrid."
    path = tmp_path / "page.png"
    page("\n".join(lines), (1400, 1500), 22).save(path)
    async with client.converse(SHORT) as conversation:
        await ask(conversation, "What is the weather like?", path)
        await until(conversation, events.AssetIndexed)
        second = await ask(conversation, "What does the page say of the lighthouse keeper?")
        assert second.read("Ingrid")
        assert "Ingrid" in second.answer
        await conversation.finish()
