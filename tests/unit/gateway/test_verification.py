"""Citations that do not resolve are never sent."""

import pytest
from google.protobuf.duration_pb2 import Duration
from sensorium.media.v1 import evidence_pb2, media_pb2

from services.gateway.verification import cite_verified, lies_within

CLIP = media_pb2.AssetInfo(duration=Duration(seconds=10), width_px=640, height_px=360)


def span(start_s: int, end_s: int) -> media_pb2.Locator:
    times = media_pb2.TimeSpan(start=Duration(seconds=start_s), end=Duration(seconds=end_s))
    return media_pb2.Locator(span=times)


def region(left: int, top: int, width: int, height: int) -> media_pb2.Locator:
    return media_pb2.Locator(
        region=media_pb2.PixelRegion(left_px=left, top_px=top, width_px=width, height_px=height)
    )


@pytest.mark.parametrize(
    ("locator", "resolves"),
    [
        (span(0, 10), True),
        (span(4, 4), True),
        (span(5, 4), False),
        (span(8, 12), False),
        (region(0, 0, 640, 360), True),
        (region(600, 0, 41, 10), False),
        (region(0, 350, 10, 11), False),
        (media_pb2.Locator(), True),
    ],
)
def test_a_place_must_lie_within_its_asset(locator: media_pb2.Locator, resolves: bool) -> None:
    assert lies_within(locator, CLIP) is resolves


def weighted(key: str, asset_id: str, locator: media_pb2.Locator) -> evidence_pb2.WeightedEvidence:
    evidence = evidence_pb2.Evidence(
        evidence_id=key, asset_id=asset_id, text="rabbit", locator=locator
    )
    return evidence_pb2.WeightedEvidence(
        evidence=evidence, citation_key=key, weight=0.5, in_context=True
    )


def test_only_evidence_of_committed_assets_within_their_bounds_is_cited() -> None:
    asset = media_pb2.Asset(asset_id="clip", sha256="ab" * 32, info=CLIP)
    evidence = [
        weighted("1", "clip", span(1, 2)),
        weighted("2", "clip", span(11, 12)),
        weighted("3", "unknown", span(1, 2)),
    ]
    citations = cite_verified("A rabbit [1] [2] [3].", evidence, {"clip": asset})
    assert [citation.evidence.citation_key for citation in citations] == ["1"]
    assert citations[0].asset_sha256 == asset.sha256
