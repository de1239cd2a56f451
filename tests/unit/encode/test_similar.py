"""Frames that show the same are encoded as one."""

from dataclasses import replace

from services.encode.segments import Segment, SegmentKind
from services.encode.similar import KEPT_COUNT, SimilarFrames


def frame(index: int, same_as: int | None = None, asset_id: str = "film") -> Segment:
    return Segment(
        f"{asset_id}/frame/{index}",
        asset_id,
        SegmentKind.VIDEO_FRAME,
        f"picture {index}".encode(),
        same_as="" if same_as is None else f"{asset_id}/frame/{same_as}",
    )


def test_a_frame_is_encoded_by_the_picture_it_is_the_same_as() -> None:
    similar = SimilarFrames()
    resolved = [similar.resolve(one) for one in (frame(0), frame(1, 0), frame(2), frame(3, 0))]
    assert [one.payload for one in resolved] == [
        b"picture 0",
        b"picture 0",
        b"picture 2",
        b"picture 0",
    ]
    assert [one.segment_id for one in resolved] == [f"film/frame/{i}" for i in range(4)]


def test_a_frame_whose_likeness_is_not_at_hand_stands_for_itself_and_for_it() -> None:
    similar = SimilarFrames()
    assert similar.resolve(frame(7, 3)).payload == b"picture 7"
    assert similar.resolve(frame(8, 3)).payload == b"picture 7"


def test_what_is_remembered_is_bounded_and_what_is_used_stays() -> None:
    similar = SimilarFrames()
    similar.resolve(frame(0))
    for index in range(1, KEPT_COUNT):
        similar.resolve(frame(index))
    similar.resolve(frame(100, 0))
    similar.resolve(frame(101))
    assert similar.resolve(frame(102, 0)).payload == b"picture 0"
    assert similar.resolve(frame(103, 1)).payload == b"picture 103"


def test_nothing_is_shared_between_assets_or_kinds() -> None:
    similar = SimilarFrames()
    similar.resolve(frame(0))
    other = frame(1, 0, "another")
    assert similar.resolve(other) is other
    view = replace(frame(2, 0), kind=SegmentKind.IMAGE_VIEW)
    assert similar.resolve(view) is view
