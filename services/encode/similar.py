"""Frames of a video that show the same are encoded as one."""

from collections import OrderedDict
from dataclasses import replace

from services.encode.segments import Segment, SegmentKind

KEPT_COUNT = 16
"""So many pictures of a stream are remembered, at most 1 MiB each."""


class SimilarFrames:
    """The pictures of one stream that others are said to be the same as."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def resolve(self, segment: Segment) -> Segment:
        """The segment with the picture of the earlier frame that it is the same as.

        So it has that frame's cache keys, and nothing is computed twice, be it done or
        still under way. A frame whose likeness did not come on this stream, or too long
        ago, is encoded by itself.
        """
        if segment.kind is not SegmentKind.VIDEO_FRAME:
            return segment
        key = (segment.asset_id, segment.same_as or segment.segment_id)
        picture = self._kept.get(key)
        if segment.same_as and picture is not None:
            self._kept.move_to_end(key)
            return replace(segment, payload=picture)
        self._kept[key] = segment.payload
        while len(self._kept) > KEPT_COUNT:
            self._kept.popitem(last=False)
        return segment
