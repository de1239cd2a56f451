"""What HTTP adds to the time to first token, beside gRPC, in turns on one warm server.

Counted from the call on, with all that is sent: a socket takes megabytes before the server has read
them, so of HTTP it is not known when the last byte has gone, as it is of gRPC, which holds its
client back. The HTTP client is one that does next to nothing, on a connection that is open by then
as the channel is; OpenAI's own client is told of in a note.
"""

import asyncio
import base64
import itertools
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from openai import AsyncOpenAI
from sensorium_client import Client
from sensorium_client.media import Media, MediaFile
from sensorium_client.options import AskOptions

from tests.bench import materials
from tests.bench.asking import NoAnswer, ask_timed
from tests.bench.breakdown import seconds
from tests.bench.estimates import Estimate, estimate
from tests.bench.results import Plan, Row
from tests.bench.servers import serving

TARGET_S = 0.005
TEXT_ROUNDS = 12
"""For each repeat of the plan: a millisecond is little beside what the model takes."""
PHOTO_ROUNDS = 16
TEXT_QUESTION = "Which planet is the largest?"
PHOTO_QUESTIONS = [
    f"What is the {part} of this picture about?"
    for part in ("left", "right", "top", "bottom", "middle", "whole", "front", "back", "rest")
]
"""Another one each time: a prompt that the model has just read costs next to nothing."""
# Answers of temperature 0 come from a cache; here the model is to be at work.
OPTIONS = AskOptions(max_tokens=4, temperature=0.01, reuse_stored=False)
BOUNDARY = "----form"


Ask = Callable[[str], Awaitable[float]]
"""Asks a question once; the time to first token, in seconds."""
Waits = dict[str, list[float]]
"""By way of asking, one a round."""


async def run(plan: Plan) -> list[Row]:
    """A question of text, and one about a photo that the encoders know, so that they cost
    nothing."""
    photo = plan.folder / "photo.jpg"
    photo.write_bytes(materials.photo(1))
    async with (
        # Their making in the background would fall into the next question.
        serving(plan.folder, renditions="none") as server,
        Client(server.address) as client,
        AsyncOpenAI(base_url=f"{server.http_url}/v1", api_key="none") as openai,
    ):
        model = (await openai.models.list()).data[0].id
        text = await _take_turns(
            plan,
            plan.repeats * TEXT_ROUNDS,
            [TEXT_QUESTION],
            {
                "gRPC": lambda question: _ask_grpc(client, question),
                "HTTP": lambda question: _ask_http(
                    server.http_url, "application/json", lambda: _body(model, question)
                ),
                "OpenAI's client": lambda question: _ask_openai(openai, _body(model, question)),
            },
        )
        shown = await _take_turns(
            plan,
            plan.repeats * PHOTO_ROUNDS,
            PHOTO_QUESTIONS,
            {
                "gRPC": lambda question: _ask_grpc(client, question, [MediaFile(photo)]),
                "base64": lambda question: _ask_http(
                    server.http_url,
                    "application/json",
                    lambda: _body(model, question, photo.read_bytes()),
                ),
                "form": lambda question: _ask_http(
                    server.http_url,
                    f"multipart/form-data; boundary={BOUNDARY}",
                    lambda: _form(_body(model, question), photo.read_bytes()),
                ),
            },
        )
    started = time.perf_counter()
    _body(model, PHOTO_QUESTIONS[0], photo.read_bytes())
    encoding_s = time.perf_counter() - started
    photo.unlink()
    return [_text_row(text), _photo_row(shown, encoding_s)]


async def _take_turns(
    plan: Plan, rounds: int, questions: Sequence[str], ways: Mapping[str, Ask]
) -> Waits:
    """Ask in each way once a round, in an order that chance makes."""
    waits: Waits = {name: [] for name in ways}
    names = list(ways)
    chance = random.Random(0)
    following = itertools.cycle(questions)
    for index in range(rounds + 1):
        chance.shuffle(names)
        for name in names:
            wait = await ways[name](next(following))
            if index:  # the first round warms up
                waits[name].append(wait)
    told = ", ".join(f"{name} {median(its) * 1e3:.1f} ms" for name, its in waits.items())
    plan.say(f"{rounds} rounds: {told}")
    return waits


async def _ask_grpc(client: Client, question: str, media: Sequence[Media] = ()) -> float:
    turn = await ask_timed(client, question, media, options=OPTIONS)
    return turn.first_token_s


async def _ask_openai(openai: AsyncOpenAI, body: bytes) -> float:
    request = json.loads(body)
    started = time.perf_counter()
    first_s: float | None = None
    stream = await openai.chat.completions.create(**request)
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content and first_s is None:
            first_s = time.perf_counter() - started
    if first_s is None:
        raise NoAnswer
    return first_s


async def _ask_http(url: str, content_type: str, make_body: Callable[[], bytes]) -> float:
    """Post to chat completions. Raises NoAnswer."""
    address = urlsplit(url)
    # Events of the end, with all evidence, are longer than the usual limit.
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 24)
    try:
        started = time.perf_counter()
        body = make_body()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        # The first event opens the message; the first token comes with it.
        events = await reader.readuntil(b"\n\n")
        first_s = time.perf_counter() - started
        if b"200 OK" not in events or b'"role":"assistant"' not in events:
            raise NoAnswer
        await reader.readuntil(b"data: [DONE]\n\n")
    finally:
        writer.close()
    return first_s


def _body(model: str, question: str, photo: bytes = b"") -> bytes:
    content: list[dict[str, Any]] = [{"type": "text", "text": question}]
    if photo:
        url = f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}"
        # Of the same name as the file of the form, so that the same prompt comes of it.
        file = {"filename": "photo.jpg", "file_data": url}
        content.append({"type": "file", "file": file})
    request = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": OPTIONS.max_tokens,
        "temperature": OPTIONS.temperature,
        "stream": True,
    }
    return json.dumps(request).encode()


def _form(request: bytes, photo: bytes) -> bytes:
    def part(disposition: str, content: bytes) -> bytes:
        head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
        return head.encode() + content + b"\r\n"

    return (
        part('name="request"', request)
        + part('name="file"; filename="photo.jpg"', photo)
        + f"--{BOUNDARY}--\r\n".encode()
    )


def _text_row(waits_s: Waits) -> Row:
    added = _added(waits_s["HTTP"], waits_s["gRPC"])
    openai = _added(waits_s["OpenAI's client"], waits_s["gRPC"])
    return Row(
        name="HTTP over gRPC: time to first token of a question",
        measured=_told(added),
        against=f"gRPC: {seconds(median(waits_s['gRPC']))}",
        target=f"≤ {TARGET_S * 1e3:g} ms",
        met=added.median <= TARGET_S,
        notes=[f"through OpenAI's Python client {_told(openai)}, most of it its own work"],
        samples=_samples(waits_s),
    )


def _photo_row(waits_s: Waits, encoding_s: float) -> Row:
    added = _added(waits_s["form"], waits_s["gRPC"])
    encoded = _added(waits_s["base64"], waits_s["gRPC"])
    return Row(
        name="HTTP over gRPC: time to first token about a 12-megapixel photo, a file of a form",
        measured=_told(added),
        against=f"gRPC: {seconds(median(waits_s['gRPC']))}",
        target=f"≤ {TARGET_S * 1e3:g} ms",
        met=added.median <= TARGET_S,
        notes=[
            f"in base64, of which nothing is known before all is: {_told(encoded)}; "
            f"{encoding_s * 1e3:.1f} ms of it the client encodes"
        ],
        samples=_samples(waits_s),
    )


def _samples(waits_s: Waits) -> Mapping[str, Sequence[float]]:
    return {f"{name} s": its for name, its in waits_s.items()}


def _added(ours: Sequence[float], reference: Sequence[float]) -> Estimate:
    """Within each round, so that slow drift cancels out."""
    return estimate([one - other for one, other in zip(ours, reference, strict=True)])


def _told(added: Estimate) -> str:
    low, high = added.low * 1e3, added.high * 1e3
    return f"{added.median * 1e3:+.1f} ms [{low:+.1f}, {high:+.1f}]"
