"""ReadAhead over a real channel."""

import grpc
import pytest
from sensorium.generate.v1 import generate_pb2 as pb
from sensorium.generate.v1 import generate_pb2_grpc

SAID = pb.Message(
    role=pb.ROLE_USER,
    content="Where does it take place?",
    context_lines=["[1] talk.wav heard: The meeting is in the library."],
)
ANSWERED = pb.Message(role=pb.ROLE_ASSISTANT, content="In the library.")
LINES = ["[2] talk.wav heard: It moves to Thursday at noon.", "[3] photo.jpg seen: perhaps a door"]


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> "generate_pb2_grpc.GenerateServiceAsyncStub":
    return generate_pb2_grpc.GenerateServiceStub(channel)


async def test_what_was_read_ahead_is_known_to_the_stream_after_it(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub",
) -> None:
    config = pb.GenerateConfig(messages=[SAID, ANSWERED])
    read = await stub.ReadAhead(pb.ReadAheadRequest(config=config, context_lines=LINES))
    assert read.read_token_count == read.token_count > 60
    requests = [
        pb.StreamingGenerateRequest(config=config),
        pb.StreamingGenerateRequest(context_append=pb.ContextAppend(lines=LINES)),
        pb.StreamingGenerateRequest(start=pb.GenerateStart(question="On which day?")),
    ]
    events = [event async for event in stub.StreamingGenerate(iter(requests))]
    usage = next(each.complete.usage for each in events if each.HasField("complete"))
    assert usage.cached_token_count == read.token_count
    assert "Thursday" in "".join(event.token.text for event in events)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (
            pb.ReadAheadRequest(config=pb.GenerateConfig(model="wheel:no-such")),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (
            pb.ReadAheadRequest(config=pb.GenerateConfig(messages=[pb.Message(content="x")])),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
        (pb.ReadAheadRequest(context_lines=["word " * 2000]), grpc.StatusCode.OUT_OF_RANGE),
    ],
)
async def test_a_mistake_has_its_typed_error(
    stub: "generate_pb2_grpc.GenerateServiceAsyncStub",
    request_: pb.ReadAheadRequest,
    code: grpc.StatusCode,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ReadAhead(request_)
    assert refused.value.code() == code
