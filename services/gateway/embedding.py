"""Vectors of words and pictures, in the space in which stored media is searched."""

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.contents import ContentLimits, check, encode_contents
from services.gateway.perception import SEGMENT_CHARACTERS_MAX, encode_config
from services.gateway.stages import Stages
from services.gateway.vectors import mean_embedding
from services.runtime.calls import CallScope

LIMITS = ContentLimits(input_count=256, text_characters=SEGMENT_CHARACTERS_MAX)


async def embed(
    stages: Stages, scope: CallScope, request: gateway_pb2.EmbedRequest
) -> gateway_pb2.EmbedResponse:
    """One vector for each input. Raises SensoriumError, naming the input."""
    check(request.inputs, LIMITS)
    # A large picture has several: those of its view and of its regions.
    found: list[list[media_pb2.Embedding]] = [[] for _ in request.inputs]
    config = encode_config((encode_pb2.ENCODE_TASK_EMBED,))
    async for index, event in encode_contents(stages, scope, request.inputs, config):
        found[index].append(event.embedding.embedding)
    return gateway_pb2.EmbedResponse(embeddings=map(mean_embedding, found))
