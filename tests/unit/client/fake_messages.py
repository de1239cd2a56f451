"""What the fake gateway says."""

from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.media.v1 import evidence_pb2, media_pb2

Context = grpc.aio.ServicerContext[Any, Any]

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
HARBOUR = media_pb2.Asset(
    asset_id="a1",
    info=media_pb2.AssetInfo(name="harbour.mp4", modality=media_pb2.MODALITY_VIDEO),
)


def seconds(value: float) -> duration_pb2.Duration:
    """A duration."""
    duration = duration_pb2.Duration()
    duration.FromMilliseconds(round(value * 1000))
    return duration


def locator(start_s: float, end_s: float) -> media_pb2.Locator:
    """A stretch of time."""
    return media_pb2.Locator(span=media_pb2.TimeSpan(start=seconds(start_s), end=seconds(end_s)))


def weighted(key: str = "1", text: str = "tabby cat") -> evidence_pb2.WeightedEvidence:
    """A label seen in a film."""
    return evidence_pb2.WeightedEvidence(
        evidence=evidence_pb2.Evidence(
            evidence_id=f"a1/frame/0#label/{key}",
            asset_id="a1",
            asset_name="film.mp4",
            modality=media_pb2.MODALITY_VIDEO,
            origin=evidence_pb2.EVIDENCE_ORIGIN_LABEL,
            text=text,
            locator=locator(1.5, 2.25),
            confidence=0.9,
        ),
        citation_key=key,
        similarity=0.4,
        weight=0.7,
        in_context=True,
    )


def citation() -> pb.Citation:
    """The label, named by the answer."""
    return pb.Citation(
        evidence=weighted(),
        basis=pb.CITATION_BASIS_MARKER,
        asset_sha256="0" * 64,
        answer_range=media_pb2.CharRange(start=0, end=6),
    )


def turn_complete() -> pb.TurnComplete:
    """A turn that took a while."""
    return pb.TurnComplete(
        finish_reason=pb.TURN_FINISH_REASON_STOP,
        usage=pb.Usage(prompt_token_count=120, completion_token_count=2, segment_count=4),
        timings=pb.Timings(
            last_byte=seconds(1.0),
            first_token=seconds(1.4),
            last_token=seconds(1.6),
            time_to_first_token=seconds(0.4),
            overlap=0.75,
            stages=[
                pb.StageTiming(stage="ingest", start=seconds(0.0), end=seconds(1.0)),
                pb.StageTiming(stage="generate", start=seconds(1.1), end=seconds(1.6)),
            ],
        ),
    )


async def abort(
    context: Context, code: int, reason: str, message: str, retry_s: float | None = None
) -> None:
    """End a call with a rich status, as the real server does."""
    details: list[Any] = [
        error_details_pb2.ErrorInfo(
            reason=reason, domain="sensorium", metadata={"subject": "asset_id"}
        )
    ]
    if retry_s is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=seconds(retry_s)))
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    await context.abort_with_status(rpc_status.to_status(status))
