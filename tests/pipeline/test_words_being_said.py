"""Words shown while they are being said: before their sentence ends, and in nothing's way.

By its name after test_walk, as test_words_heard is and for the same reason.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
from sensorium_client import Client, events
from sensorium_client.media import LiveMedia
from sensorium_client.options import AskOptions

from services.gateway.stage import build
from tests import media
from tests.bench.benchmarks.speech import words
from tests.harness import serve_all
from tests.media import SAMPLE_RATE_HZ
from tests.pipeline.platform import Platform
from tests.pipeline.test_moderation import settings_of
from tests.unit.encode.real import spoken_samples

PIECE_S = 0.1
# The second sentence of the sample, which has no pause that would cut it in its first seconds.
SENTENCE = np.frombuffer(spoken_samples(), "<i2")[round(4.6 * SAMPLE_RATE_HZ) :]


class Microphone:
    """Records a sentence, at the pace at which it is said unless told otherwise.

    Its last moment is said once the speaker has been ``understood``.
    """

    def __init__(self, *, piece_wait_s: float = PIECE_S) -> None:
        self.recorded_s = 0.0
        self.understood = asyncio.Event()
        self._wait_s = piece_wait_s

    def media(self) -> LiveMedia:
        """What is recorded, as it comes."""
        return LiveMedia("microphone.wav", self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        recording = media.endless_wav(SENTENCE)
        piece_bytes = round(PIECE_S * SAMPLE_RATE_HZ) * 2
        for start in range(0, len(recording), piece_bytes):
            await asyncio.sleep(self._wait_s)
            if start + piece_bytes >= len(recording):
                await self.understood.wait()
            yield recording[start : start + piece_bytes]
            self.recorded_s += PIECE_S


async def asked(client: Client, microphone: Microphone, options: AskOptions) -> list[events.Event]:
    stream = client.ask("What is said?", [microphone.media()], options=options)
    async with aclosing(stream):
        return [event async for event in stream]


def of(told: list[events.Event], kind: type[events.Event]) -> list[events.Event]:
    return [event for event in told if isinstance(event, kind)]


def said(told: list[events.Event]) -> list[str]:
    return [event.text for event in told if isinstance(event, events.Transcript)]


async def test_a_sentence_is_shown_while_it_is_said(platform: Platform, client: Client) -> None:
    await platform.at_rest(60.0)
    microphone = Microphone()
    options = AskOptions(max_tokens=4, partial_transcripts=True)
    told: list[events.Event] = []
    stream = client.ask("What is said?", [microphone.media()], options=options)
    async with asyncio.timeout(90.0), aclosing(stream):
        async for event in stream:
            told.append(event)
            if isinstance(event, events.PartialTranscript) and not microphone.understood.is_set():
                # Of what is being said at this moment the sound has just been sent.
                assert event.span.end_s <= microphone.recorded_s + PIECE_S
                # Whoever heard of these words heard most of the sentence.
                if {"children", "museum"} <= set(words(event.text)):
                    microphone.understood.set()
    # A guess replaces a guess, the words replace both: nothing is guessed after them.
    kinds = [event.type for event in told if event.type.endswith("transcript")]
    assert kinds == sorted(kinds)
    # Neither evidence nor index know of guesses.
    (evidence,) = of(told, events.EvidenceWeights)
    assert isinstance(evidence, events.EvidenceWeights)
    assert [piece.text for piece in evidence.evidence] == said(told)
    (indexed,) = of(told, events.AssetIndexed)
    assert isinstance(indexed, events.AssetIndexed)
    assert indexed.document_count == len(said(told))

    # Word times keep the second time from being told from the cache.
    unasked = AskOptions(max_tokens=4, word_times=True, reuse_stored=False)
    microphone = Microphone(piece_wait_s=0.0)
    microphone.understood.set()
    again = await asked(client, microphone, unasked)
    assert said(again) == said(told)
    assert not of(again, events.PartialTranscript)


async def test_a_cancelled_turn_ends_the_guessing(platform: Platform, client: Client) -> None:
    await platform.at_rest(60.0)
    told: list[events.Event] = []
    async with (
        asyncio.timeout(60.0),
        client.converse(AskOptions(partial_transcripts=True)) as conversation,
    ):
        turn = conversation.begin_turn()
        sending = asyncio.create_task(turn.send_media(Microphone().media()))
        async for event in conversation.events():
            told.append(event)
            if isinstance(event, events.PartialTranscript):
                break
        await turn.cancel()
        await platform.at_rest(10.0)
        await conversation.finish()
        told += [event async for event in conversation.events()]
        await asyncio.gather(sending, return_exceptions=True)
    kinds = [event.type for event in told]
    assert "partial_transcript" not in kinds[kinds.index("turn_complete") :]


async def test_no_words_are_guessed_where_a_policy_blocks_words(
    platform: Platform, tmp_path: Path
) -> None:
    """What is blocked would be shown before it is judged. A flag holds nothing back."""
    await platform.at_rest(60.0)

    async def guessed_and_said(action: str) -> tuple[bool, list[str]]:
        """Whether words were guessed, and what was said until they were."""
        settings = settings_of(platform, tmp_path, {"toxic": (action, 0.99)}, {})
        options = AskOptions(max_tokens=4, partial_transcripts=True, reuse_stored=False)
        microphone = Microphone()
        if action == "block":
            microphone.understood.set()
        told: list[events.Event] = []
        async with (
            asyncio.timeout(60.0),
            serve_all({"gateway": build}, settings) as (_, effective),
            Client(f"127.0.0.1:{effective.port}") as client,
            aclosing(client.ask("What is said?", [microphone.media()], options=options)) as stream,
        ):
            async for event in stream:
                told.append(event)
                if isinstance(event, events.PartialTranscript):
                    break
        return bool(of(told, events.PartialTranscript)), said(told)

    assert (await guessed_and_said("flag"))[0]
    guessed, words_said = await guessed_and_said("block")
    assert not guessed
    assert words_said
    await platform.at_rest(60.0)
