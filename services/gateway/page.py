"""What encode read in the segments of one picture, as the lines of its page."""

from collections.abc import Iterable, Mapping

from sensorium.media.v1 import media_pb2

from services.gateway.vectors import mean_embedding
from services.gateway.writing import VIEW, Box, Reading, merge_readings

Segments = Mapping[str, media_pb2.MediaSegment]


def is_writing(observation: media_pb2.Observation) -> bool:
    """Whether it is a line that was read."""
    return observation.WhichOneof("observed") == "ocr_line"


def page_lines(
    lines: Iterable[media_pb2.Observation], segments: Segments
) -> list[media_pb2.Observation]:
    """Each line of a picture once, in reading order, as an observation in its view.

    ``segments`` are the picture's, by id. Only the view shows a line that tiles
    cut, so all lines belong to it; regions stay in the upright source. A joined
    line is as sure as its least sure piece, and has their mean vector.
    """
    found = list(lines)
    view = next(each for each in segments.values() if not _is_tile(each))
    tiles = {each.index: _box(each.locator) for each in segments.values() if _is_tile(each)}
    readings = [
        Reading(
            line.ocr_line.text,
            _box(line.locator),
            frozenset({_source(segments[line.segment_id])}),
            (number,),
        )
        for number, line in enumerate(found)
    ]
    return [
        _observation(merged, [found[part] for part in merged.parts], view.segment_id, index)
        for index, merged in enumerate(merge_readings(readings, _box(view.locator), tiles))
    ]


def _observation(
    merged: Reading, parts: list[media_pb2.Observation], view_id: str, index: int
) -> media_pb2.Observation:
    box = merged.box
    line = media_pb2.Observation(
        observation_id=f"{view_id}#ocr/{index}",
        segment_id=view_id,
        asset_id=parts[0].asset_id,
        confidence=min(part.confidence for part in parts),
        ocr_line=media_pb2.OcrLine(text=merged.text),
        embedding=mean_embedding([part.embedding for part in parts]),
    )
    line.locator.region.CopyFrom(
        media_pb2.PixelRegion(
            left_px=box.left, top_px=box.top, width_px=box.width, height_px=box.height
        )
    )
    return line


def _source(segment: media_pb2.MediaSegment) -> int:
    return segment.index if _is_tile(segment) else VIEW


def _is_tile(segment: media_pb2.MediaSegment) -> bool:
    return segment.kind == media_pb2.SEGMENT_KIND_IMAGE_TILE


def _box(locator: media_pb2.Locator) -> Box:
    region = locator.region
    return Box(
        region.left_px,
        region.top_px,
        region.left_px + region.width_px,
        region.top_px + region.height_px,
    )
