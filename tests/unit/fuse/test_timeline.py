"""The timeline: one final order, handed out as early as it is certain."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.fuse.lines import Line
from services.fuse.model import Asset, Locator, Origin, Piece, Region, Segment
from services.fuse.timeline import Timeline
from services.runtime.errors import InvalidInput, OutOfOrder, SensoriumError
from tests.unit.fuse.builders import (
    frame,
    note,
    passage,
    photo,
    piece,
    seconds,
    tile,
    video,
    view,
    window,
)


def texts(lines: list[Line]) -> list[str]:
    return [line.render("0", 900).removeprefix("[0] ") for line in lines]


def test_a_line_waits_for_the_track_that_lags_behind() -> None:
    timeline, clip = Timeline(), video()
    timeline.add_asset(clip)
    heard = window(clip, 0, 0, 5)
    timeline.add_segment(heard)
    timeline.add_piece(piece(heard, Origin.SPEECH, "good morning", locator=seconds(1, 3)))
    timeline.end_segment(heard.segment_id)
    assert list(timeline.take()) == [], "a frame at 0:02 may still come"

    seen = frame(clip, 0, 4)
    timeline.add_segment(seen)
    assert texts(list(timeline.take())) == ["clip.mp4 0:01-0:03 heard: good morning"]


def test_a_pending_segment_holds_back_what_it_could_precede() -> None:
    timeline, clip = Timeline(), video(sound=False)
    timeline.add_asset(clip)
    first, second = frame(clip, 0, 0), frame(clip, 1, 2)
    for segment in (first, second):
        timeline.add_segment(segment)
    timeline.add_piece(piece(second, Origin.LABEL, "bear"))
    timeline.end_segment(second.segment_id)
    timeline.complete_asset(clip.asset_id)
    assert list(timeline.take()) == []

    timeline.add_piece(piece(first, Origin.LABEL, "tree"))
    timeline.end_segment(first.segment_id)
    assert texts(list(timeline.take())) == ["clip.mp4 0:00 seen: tree", "clip.mp4 0:02 seen: bear"]


def test_the_next_asset_waits_for_the_one_before() -> None:
    timeline, first, second = Timeline(), photo("a", "a.jpg"), photo("b", "b.jpg")
    for asset in (first, second):
        timeline.add_asset(asset)
        timeline.add_segment(view(asset))
    timeline.add_piece(piece(view(second), Origin.LABEL, "cat"))
    timeline.end_segment(view(second).segment_id)
    timeline.complete_asset("b")
    assert list(timeline.take()) == []

    timeline.add_piece(piece(view(first), Origin.LABEL, "dog"))
    timeline.end_segment(view(first).segment_id)
    assert texts(list(timeline.take())) == ["a.jpg seen: dog"], "tiles of a may still come"
    timeline.complete_asset("a")
    assert texts(list(timeline.take())) == ["b.jpg seen: cat"]


def test_frames_that_show_the_same_become_one_line_with_a_span() -> None:
    timeline, clip = Timeline(), video(sound=False)
    timeline.add_asset(clip)
    for index, labels in enumerate(["bear animal", "animal bear", "bear animal", "tree"]):
        segment = frame(clip, index, 4.0 * index)
        timeline.add_segment(segment)
        for order, label in enumerate(labels.split()):
            timeline.add_piece(
                piece(segment, Origin.LABEL, label, order, confidence=0.9 - order / 10)
            )
        timeline.end_segment(segment.segment_id)
    merged = list(timeline.take())
    assert texts(merged) == ["clip.mp4 0:00-0:08 seen: bear, animal"]
    assert merged[0].locator == seconds(0, 8)
    assert len(merged[0].pieces) == 6
    assert merged[0].pieces[0].evidence_id == "v/frame/0#label/0"
    assert texts(list(timeline.finish())) == ["clip.mp4 0:12 seen: tree"]


def test_a_frame_without_labels_ends_the_repetition() -> None:
    timeline, clip = Timeline(), video(sound=False)
    timeline.add_asset(clip)
    for index, labels in enumerate(["bear", "", "bear"]):
        segment = frame(clip, index, 2.0 * index)
        timeline.add_segment(segment)
        if labels:
            timeline.add_piece(piece(segment, Origin.LABEL, labels))
        timeline.end_segment(segment.segment_id)
    assert texts(list(timeline.finish())) == [
        "clip.mp4 0:00 seen: bear",
        "clip.mp4 0:04 seen: bear",
    ]


def test_speech_within_a_growing_line_comes_before_it_and_late_speech_waits() -> None:
    timeline, clip = Timeline(), video()
    timeline.add_asset(clip)
    heard = window(clip, 0, 0, 9)
    timeline.add_segment(heard)
    timeline.add_piece(piece(heard, Origin.SPEECH, "one", 0, locator=seconds(0, 1)))
    timeline.add_piece(piece(heard, Origin.SPEECH, "five", 1, locator=seconds(4, 5)))
    timeline.end_segment(heard.segment_id)
    for index, at_s in enumerate([0.0, 4.0, 8.0]):
        timeline.add_segment(frame(clip, index, at_s))
    for index, at_s in enumerate([0.0, 4.0]):
        timeline.add_piece(piece(frame(clip, index, at_s), Origin.LABEL, "bear"))
        timeline.end_segment(frame(clip, index, at_s).segment_id)
    assert texts(list(timeline.take())) == ["clip.mp4 0:00-0:01 heard: one"]

    timeline.add_piece(piece(frame(clip, 2, 8), Origin.LABEL, "bear"))
    timeline.end_segment(frame(clip, 2, 8).segment_id)
    assert texts(list(timeline.take())) == ["clip.mp4 0:04-0:05 heard: five"]
    assert texts(list(timeline.finish())) == ["clip.mp4 0:00-0:08 seen: bear"]


def test_a_picture_shows_its_view_before_its_tiles_whatever_is_encoded_first() -> None:
    timeline, picture = Timeline(), photo()
    timeline.add_asset(picture)
    cuts = [view(picture), *(tile(picture, index) for index in range(12))]
    for cut in cuts:
        timeline.add_segment(cut)
    for cut in reversed(cuts):
        timeline.add_piece(piece(cut, Origin.LABEL, cut.segment_id))
        timeline.end_segment(cut.segment_id)
    assert texts(list(timeline.take())) == [f"photo.jpg seen: {cut.segment_id}" for cut in cuts]


def test_what_a_tile_repeats_of_the_view_makes_no_second_line() -> None:
    timeline, picture = Timeline(), photo()
    timeline.add_asset(picture)
    for cut in (view(picture), tile(picture, 0), tile(picture, 1)):
        timeline.add_segment(cut)
        timeline.add_piece(piece(cut, Origin.LABEL, "door"))
    timeline.add_piece(piece(tile(picture, 1), Origin.LABEL, "window", 1))
    lines = list(timeline.finish())
    assert texts(lines) == ["photo.jpg seen: door", "photo.jpg seen: window"]
    assert [len(line.pieces) for line in lines] == [3, 1]


def test_what_a_tile_says_less_precisely_than_the_view_makes_no_second_line() -> None:
    timeline, picture = Timeline(), photo()
    timeline.add_asset(picture)
    shown = {
        view(picture): "tabby (cat, animal)",
        tile(picture, 0): "animal",
        tile(picture, 1): "perhaps tabby (cat, animal)",
        tile(picture, 2): "cat (animal)",
        tile(picture, 3): "cat flap",
    }
    for cut, label in shown.items():
        timeline.add_segment(cut)
        timeline.add_piece(piece(cut, Origin.LABEL, label))
    lines = list(timeline.finish())
    assert texts(lines) == ["photo.jpg seen: tabby (cat, animal)", "photo.jpg seen: cat flap"]
    assert [len(line.pieces) for line in lines] == [4, 1]


def test_what_a_tile_says_surely_is_not_lost_in_a_guess_about_the_view() -> None:
    timeline, picture = Timeline(), photo()
    timeline.add_asset(picture)
    shown = {
        view(picture): "perhaps fountain pen (pen, stationery)",
        tile(picture, 0): "fountain",
        tile(picture, 1): "fountain pen (pen, stationery)",
        tile(picture, 2): "perhaps pen (stationery)",
    }
    for cut, label in shown.items():
        timeline.add_segment(cut)
        timeline.add_piece(piece(cut, Origin.LABEL, label))
    assert texts(list(timeline.finish())) == [
        "photo.jpg seen: perhaps fountain pen (pen, stationery)",
        "photo.jpg seen: fountain",
        "photo.jpg seen: fountain pen (pen, stationery)",
    ]


def test_what_is_written_at_two_places_is_read_twice_and_in_the_order_of_reading() -> None:
    timeline, receipt = Timeline(), photo(name="receipt.jpg")
    timeline.add_asset(receipt)
    timeline.add_segment(view(receipt))
    # The price stands a pixel higher than the word on its left.
    read = [("Bread", 0, 11), ("2.40", 500, 10), ("Milk", 0, 41), ("2.40", 500, 40)]
    for index, (words, left, top) in enumerate(read):
        place = Locator(region=Region(left, top, 100, 20))
        timeline.add_piece(piece(view(receipt), Origin.OCR, words, index, locator=place))
    assert texts(list(timeline.finish())) == ["receipt.jpg reads: Bread / 2.40 / Milk / 2.40"]


def test_lines_of_writing_share_a_line_up_to_a_length() -> None:
    timeline, picture = Timeline(), photo()
    timeline.add_asset(picture)
    timeline.add_segment(view(picture))
    for index in range(20):
        timeline.add_piece(piece(view(picture), Origin.OCR, f"row {index:02} " + "x" * 30, index))
    lines = texts(list(timeline.finish()))
    assert 1 < len(lines) < 20
    assert [word for line in lines for word in line.split() if word.isdigit()] == [
        f"{index:02}" for index in range(20)
    ]


def test_stored_evidence_joins_its_announced_asset_and_the_rest_follows() -> None:
    timeline, live, stored = Timeline(), photo("live", "live.jpg"), note("stored")
    timeline.add_asset(live)
    timeline.add_segment(view(live))
    stranger = note("stranger", "other.txt")
    timeline.add_recalled(stranger, piece(passage(stranger, 0), Origin.PASSAGE, "recalled"))
    timeline.add_recalled(stored, piece(passage(stored, 1), Origin.PASSAGE, "second"))
    timeline.add_asset(stored)
    timeline.add_recalled(stored, piece(passage(stored, 0), Origin.PASSAGE, "first"))
    timeline.complete_asset("stored")
    timeline.add_piece(piece(view(live), Origin.LABEL, "cat"))
    timeline.end_segment(view(live).segment_id)
    timeline.complete_asset("live")
    assert texts(list(timeline.take())) == [
        "live.jpg seen: cat",
        "notes.txt says: first",
        "notes.txt says: second",
    ]
    assert texts(list(timeline.finish())) == ["other.txt says: recalled"]


def test_the_same_evidence_live_and_recalled_counts_once() -> None:
    timeline, picture = Timeline(), photo()
    timeline.add_asset(picture)
    timeline.add_segment(view(picture))
    seen = piece(view(picture), Origin.LABEL, "cat")
    timeline.add_piece(seen)
    timeline.add_recalled(picture, seen)
    assert texts(list(timeline.finish())) == ["photo.jpg seen: cat"]
    assert timeline.piece_count == 1


def test_finish_takes_what_is_there_of_segments_that_are_not_over() -> None:
    timeline, picture = Timeline(), photo()
    timeline.add_asset(picture)
    for cut in (view(picture), tile(picture, 0)):
        timeline.add_segment(cut)
    timeline.add_piece(piece(view(picture), Origin.LABEL, "cat"))
    assert texts(list(timeline.finish())) == ["photo.jpg seen: cat"]


def test_what_comes_late_against_the_contract_is_not_lost_and_changes_nothing() -> None:
    timeline, clip = Timeline(), video(sound=False)
    timeline.add_asset(clip)
    for index, at_s in enumerate([0.0, 4.0, 8.0, 2.0]):
        segment = frame(clip, index, at_s)
        timeline.add_segment(segment)
        timeline.add_piece(piece(segment, Origin.LABEL, f"thing {index}"))
        timeline.end_segment(segment.segment_id)
        if index == 2:
            early = texts(list(timeline.take()))
    whole = early + texts(list(timeline.finish()))
    assert early == ["clip.mp4 0:00 seen: thing 0", "clip.mp4 0:04 seen: thing 1"]
    assert sorted(line[-1] for line in whole) == ["0", "1", "2", "3"]


def _complete_twice(timeline: Timeline) -> None:
    timeline.complete_asset("v")
    timeline.complete_asset("v")


def _announce_after_complete(timeline: Timeline) -> None:
    timeline.complete_asset("v")
    timeline.add_segment(frame(video(), 7, 7))


_CLIP = video()


@pytest.mark.parametrize(
    ("mistake", "error_type", "reason"),
    [
        (lambda t: t.add_asset(_CLIP), InvalidInput, "ASSET_REPEATED"),
        (lambda t: t.add_segment(frame(_CLIP, 0, 0)), InvalidInput, "SEGMENT_REPEATED"),
        (lambda t: t.add_segment(frame(video("x"), 0, 0)), InvalidInput, "UNKNOWN_ASSET"),
        (lambda t: t.complete_asset("x"), InvalidInput, "UNKNOWN_ASSET"),
        (
            lambda t: t.add_piece(piece(frame(_CLIP, 9, 9), Origin.LABEL, "a")),
            InvalidInput,
            "UNKNOWN_SEGMENT",
        ),
        (lambda t: t.end_segment("v/frame/1"), OutOfOrder, "SEGMENT_OVER"),
        (_announce_after_complete, OutOfOrder, "ASSET_COMPLETE"),
        (_complete_twice, OutOfOrder, "ASSET_COMPLETE"),
    ],
)
def test_mistakes_are_named(
    mistake: Callable[[Timeline], object], error_type: type[SensoriumError], reason: str
) -> None:
    timeline, clip = Timeline(), video()
    timeline.add_asset(clip)
    for index in range(2):
        timeline.add_segment(frame(clip, index, index))
    timeline.end_segment("v/frame/1")
    with pytest.raises(error_type) as caught:
        mistake(timeline)
    assert caught.value.reason == reason


# --- Any interleaving -----------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A message of the stream, and those that must come before it."""

    name: str
    send: Callable[[Timeline], object]
    after: frozenset[str]


@dataclass(frozen=True)
class Turn:
    steps: tuple[Step, ...]
    pieces: frozenset[str]


def _segment_steps(segment: Segment, pieces: list[Piece], before: str) -> list[Step]:
    announced = f"announce {segment.segment_id}"
    steps = [Step(announced, lambda t: t.add_segment(segment), frozenset({before}))]
    for found in pieces:

        def send(timeline: Timeline, found: Piece = found) -> None:
            timeline.add_piece(found)

        steps.append(Step(found.evidence_id, send, frozenset({announced})))
    over = frozenset({announced, *(found.evidence_id for found in pieces)})
    end = f"end {segment.segment_id}"
    return [*steps, Step(end, lambda t: t.end_segment(segment.segment_id), over)]


@st.composite
def _turns(draw: st.DrawFn) -> Turn:
    steps: list[Step] = []
    evidence: set[str] = set()
    before_asset = ""
    for number in range(draw(st.integers(1, 3))):
        asset_id = f"a{number}"
        asset = draw(st.sampled_from([video(asset_id), photo(asset_id), note(asset_id)]))
        asset_step = f"asset {number}"
        after = frozenset({before_asset} if before_asset else ())
        steps.append(Step(asset_step, lambda t, asset=asset: t.add_asset(asset), after))  # type: ignore[misc]
        before_asset = asset_step
        announced: set[str] = {asset_step}
        for track in _draw_tracks(draw, asset):
            before = asset_step
            for segment, pieces in track:
                steps.extend(_segment_steps(segment, pieces, before))
                before = f"announce {segment.segment_id}"
                announced.add(before)
                evidence.update(found.evidence_id for found in pieces)
        steps.append(
            Step(
                f"complete {number}",
                lambda t, asset=asset: t.complete_asset(asset.asset_id),  # type: ignore[misc]
                frozenset(announced),
            )
        )
    for index in range(draw(st.integers(0, 3))):
        stored = note(f"stored{draw(st.integers(0, 1))}")
        found = piece(passage(stored, index), Origin.PASSAGE, f"stored {index}")
        evidence.add(found.evidence_id)
        steps.append(
            Step(
                found.evidence_id,
                lambda t, stored=stored, found=found: t.add_recalled(stored, found),  # type: ignore[misc]
                frozenset(),
            )
        )
    return Turn(tuple(steps), frozenset(evidence))


def _draw_tracks(draw: st.DrawFn, asset: Asset) -> list[list[tuple[Segment, list[Piece]]]]:
    words = st.sampled_from(["bear", "tree", "sky"])
    labels = st.lists(words, max_size=2, unique=True)

    def label_pieces(segment: Segment) -> list[Piece]:
        return [
            piece(segment, Origin.LABEL, word, index) for index, word in enumerate(draw(labels))
        ]

    if asset.has_video:
        frames = [frame(asset, index, 2.0 * index) for index in range(draw(st.integers(0, 5)))]
        windows = [
            window(asset, index, 3.0 * index, 3.0 * index + 3)
            for index in range(draw(st.integers(0, 3)))
        ]
        speech = []
        for heard in windows:
            assert heard.locator.span is not None
            start_s = heard.locator.span.start_ns / 1e9
            said = []
            for index in range(draw(st.integers(0, 2))):
                begin_s = start_s + draw(st.integers(0, 3))
                end_s = draw(st.integers(int(begin_s), int(start_s) + 3))
                said.append(
                    piece(
                        heard,
                        Origin.SPEECH,
                        f"word {index}",
                        index,
                        locator=seconds(begin_s, end_s),
                    )
                )
            speech.append((heard, said))
        return [[(segment, label_pieces(segment)) for segment in frames], speech]
    cuts = (
        [passage(asset, index) for index in range(draw(st.integers(0, 3)))]
        if asset.modality == "text"
        else [view(asset), *(tile(asset, index) for index in range(draw(st.integers(0, 5))))]
    )
    return [[(segment, label_pieces(segment)) for segment in cuts]]


def _interleave(data: st.DataObject, turn: Turn) -> list[Step]:
    left, sent, order = list(turn.steps), set[str](), []
    while left:
        ready = [step for step in left if step.after <= sent]
        step = data.draw(st.sampled_from(ready))
        left.remove(step)
        sent.add(step.name)
        order.append(step)
    return order


def _play(order: list[Step]) -> tuple[list[Line], list[Line]]:
    timeline = Timeline()
    early: list[Line] = []
    for step in order:
        step.send(timeline)
        early.extend(timeline.take())
    return early, [*early, *timeline.finish()]


def _names(lines: list[Line]) -> list[tuple[str, tuple[str, ...]]]:
    return [(line.text, tuple(p.evidence_id for p in line.pieces)) for line in lines]


@settings(max_examples=150)
@given(st.data())
def test_any_interleaving_gives_the_same_lines_and_loses_and_doubles_nothing(
    data: st.DataObject,
) -> None:
    turn = data.draw(_turns())
    # The reference order knows everything before it takes the first line.
    reference = Timeline()
    for step in _interleave(data, turn):
        step.send(reference)
    expected = _names(list(reference.finish()))

    early, whole = _play(_interleave(data, turn))
    assert _names(early) == expected[: len(early)]
    assert _names(whole) == expected
    ids = [evidence_id for _, found in expected for evidence_id in found]
    assert sorted(ids) == sorted(turn.pieces)


@settings(max_examples=100)
@given(st.data())
def test_within_a_video_lines_are_ordered_by_their_end(data: st.DataObject) -> None:
    turn = data.draw(_turns())
    _, lines = _play(_interleave(data, turn))
    ends: dict[str, int] = {}
    for line in lines:
        span = line.locator.span
        if span is not None and line.pieces[0].segment_id.split("/")[1] in ("frame", "window"):
            assert span.end_ns >= ends.get(line.asset.asset_id, 0)
            ends[line.asset.asset_id] = span.end_ns
