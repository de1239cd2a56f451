"""Words and pictures of a request that are looked at and not kept: checked, cut, and encoded."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.ephemeral import MEDIA_BYTES_MAX, ephemeral_segments
from services.gateway.moderation import pieces
from services.gateway.perception import EncodeEvent, encode_segments
from services.gateway.stages import Stages
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput, LimitExceeded, SensoriumError
from services.runtime.status import from_item_error

Contents = Sequence[gateway_pb2.Content]


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """How much one request may bring."""

    input_count: int
    text_characters: int
    """Of each text."""


def check(contents: Contents, limits: ContentLimits) -> None:
    """Raises InvalidInput and LimitExceeded, naming the input."""
    if not contents:
        raise InvalidInput("INPUTS_MISSING", "Send at least one input.", subject="inputs")
    if len(contents) > limits.input_count:
        raise InvalidInput(
            "TOO_MANY_INPUTS",
            f"A request has at most {limits.input_count} inputs.",
            subject="inputs",
        )
    for index, content in enumerate(contents):
        if not (content.text.strip() or content.media):
            raise InvalidInput(
                "INPUT_EMPTY", "An input has words or a picture.", subject=f"inputs[{index}]"
            )
        if len(content.text) > limits.text_characters:
            raise InvalidInput(
                "TEXT_TOO_LONG",
                f"A text has at most {limits.text_characters} characters.",
                subject=f"inputs[{index}].text",
            )
    if sum(len(content.media) for content in contents) > MEDIA_BYTES_MAX:
        raise LimitExceeded(
            "MEDIA_TOO_LARGE",
            f"The pictures of a request have at most {MEDIA_BYTES_MAX >> 20} MiB together.",
            subject="inputs",
        )


async def encode_contents(
    stages: Stages, scope: CallScope, contents: Contents, config: encode_pb2.EncodeConfig
) -> AsyncIterator[tuple[int, EncodeEvent]]:
    """What encode says of each input, with its position. Raises SensoriumError for what is wrong
    with an input, naming it."""

    async def segments() -> AsyncIterator[media_pb2.MediaSegment]:
        for index, content in enumerate(contents):
            await scope.account.received(len(content.media))
            async for segment in _segments(stages, scope, content, index):
                scope.account.used.segment_count += 1
                yield segment

    async for event in encode_segments(stages, scope, config, segments()):
        match event.WhichOneof("event"):
            case "item_error":
                error = from_item_error(event.item_error)
                error.subject = f"inputs[{_index(event.item_error.item_id)}]"
                raise error
            case "embedding" | "moderation" as kind:
                yield _index(getattr(event, kind).segment_id), event


async def _segments(
    stages: Stages, scope: CallScope, content: gateway_pb2.Content, index: int
) -> AsyncIterator[media_pb2.MediaSegment]:
    asset_id = f"input-{index}"
    if content.WhichOneof("content") == "text":
        for number, piece in enumerate(pieces(content.text)):
            yield media_pb2.MediaSegment(
                segment_id=f"{asset_id}/text/{number}",
                asset_id=asset_id,
                kind=media_pb2.SEGMENT_KIND_TEXT_PASSAGE,
                text=piece,
            )
        return
    field = f"inputs[{index}].media"
    try:
        async for event in ephemeral_segments(stages, scope, content.media, asset_id):
            if event.WhichOneof("event") == "segment":
                yield event.segment
            elif event.asset_info.modality != media_pb2.MODALITY_IMAGE:
                raise InvalidInput(
                    "NO_PICTURE", "Send a picture, or upload other media first.", subject=field
                )
    except SensoriumError as error:
        error.subject = field
        raise


def _index(segment_id: str) -> int:
    return int(segment_id.split("/", 1)[0].removeprefix("input-"))
