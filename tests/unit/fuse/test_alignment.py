"""Evidence that lies in time as a question asks."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fuse.alignment import (
    ANCHOR_COUNT_MAX,
    ANCHOR_SCORE_MIN,
    Focus,
    Relation,
    Track,
    align,
    shows_nothing,
)
from services.fuse.lines import Line
from services.fuse.model import Asset, Origin, Span
from services.fuse.session import FuseOptions, FusionSession
from tests.unit.fuse.builders import (
    SECOND,
    frame,
    line,
    note,
    photo,
    piece,
    seconds,
    video,
    view,
    window,
)

FILM = video()


def seen(index: int, start_s: float, end_s: float, text: str) -> Line:
    segment = frame(FILM, index, start_s)
    return Line(FILM, text, [piece(segment, Origin.OCR, text, locator=seconds(start_s, end_s))])


def called(index: int, start_s: float, end_s: float, text: str) -> Line:
    segment, locator = frame(FILM, index, start_s), seconds(start_s, end_s)
    return Line(FILM, text, [piece(segment, Origin.LABEL, text, locator=locator, confidence=0.2)])


def heard(index: int, start_s: float, end_s: float, text: str) -> Line:
    segment = window(FILM, index, start_s, end_s)
    return Line(FILM, text, [piece(segment, Origin.SPEECH, text, locator=seconds(start_s, end_s))])


def at(relation: Relation, start_s: float, end_s: float, track: Track, text: str = "") -> Focus:
    span = Span(round(start_s * SECOND), round(end_s * SECOND))
    return Focus(relation, text, target_track=track, anchor_span=span)


def words_of(lines: Sequence[Line], focus: Focus) -> set[str]:
    alignment = align(lines, focus)
    assert alignment is not None
    return {lines[index].text for index in alignment.lines}


# A film of shots, each with its own page and its own sentence over it.
shots = st.lists(st.integers(3, 12), min_size=2, max_size=8)


@given(shots, st.data())
def test_what_is_on_screen_while_something_is_said(
    lengths_s: list[int], data: st.DataObject
) -> None:
    starts = np.cumsum([0, *lengths_s]).tolist()
    lines: list[Line] = []
    for index, (start, length) in enumerate(zip(starts, lengths_s, strict=False)):
        # Looked at every second; said somewhere within the shot.
        said = data.draw(st.floats(0.0, length - 2.0))
        lines.append(seen(index, start, start + length - 1, f"page{index}"))
        lines.append(heard(index, start + said, start + said + 1.5, f"sentence{index}"))
    asked = data.draw(st.integers(0, len(lengths_s) - 1))
    during = Focus(Relation.DURING, f"sentence{asked}", None, Track.HEARD, Track.SEEN)
    assert words_of(lines, during) == {f"page{asked}"}
    during = Focus(Relation.DURING, f"page{asked}", None, Track.SEEN, Track.HEARD)
    assert words_of(lines, during) == {f"sentence{asked}"}


@given(shots, st.data())
def test_first_last_next_and_before(lengths_s: list[int], data: st.DataObject) -> None:
    starts = np.cumsum([0, *lengths_s]).tolist()
    lines = [
        seen(index, start, start + length - 1, f"page{index}")
        for index, (start, length) in enumerate(zip(starts, lengths_s, strict=False))
    ]
    last = len(lines) - 1
    assert words_of(lines, Focus(Relation.FIRST)) == {"page0"}
    assert words_of(lines, Focus(Relation.LAST)) == {f"page{last}"}
    index = data.draw(st.integers(1, last))
    assert words_of(lines, Focus(Relation.AFTER, f"page{index - 1}")) == {f"page{index}"}
    assert words_of(lines, Focus(Relation.BEFORE, f"page{index}")) == {f"page{index - 1}"}
    assert words_of(lines, Focus(Relation.AT, f"page{index}")) == {f"page{index}"}


@given(shots, st.data())
def test_what_is_there_at_a_time(lengths_s: list[int], data: st.DataObject) -> None:
    starts = np.cumsum([0, *lengths_s]).tolist()
    lines: list[Line] = []
    for index, (start, length) in enumerate(zip(starts, lengths_s, strict=False)):
        lines.append(seen(index, start, start + length - 1, f"page{index}"))
        lines.append(heard(index, start, start + length, f"sentence{index}"))
    asked = data.draw(st.integers(0, len(lengths_s) - 1))
    begin, end = starts[asked], starts[asked + 1]
    time = data.draw(st.floats(begin, end - 1.0))
    page, sentence = {f"page{asked}"}, {f"sentence{asked}"}
    assert words_of(lines, at(Relation.DURING, time, time + 1, Track.SEEN)) == page
    assert words_of(lines, at(Relation.DURING, time, time + 1, Track.HEARD)) == sentence
    assert words_of(lines, at(Relation.DURING, time, time + 1, Track.ANY)) == page | sentence
    # Of a longer time all that is there for a moment, and nothing that only touches it.
    until = data.draw(st.sampled_from(range(asked, len(lengths_s))))
    pages = {f"page{index}" for index in range(asked, until + 1)}
    assert words_of(lines, at(Relation.DURING, time, starts[until + 1], Track.SEEN)) == pages
    from_here = {f"page{index}" for index in range(asked, len(lengths_s))}
    assert words_of(lines, at(Relation.AFTER, time, time, Track.SEEN)) == from_here
    alignment = align(lines, at(Relation.AFTER, begin, begin, Track.SEEN))
    assert alignment is not None and lines[int(alignment.aligned.argmax())].text in page
    alignment = align(lines, at(Relation.BEFORE, end, end, Track.HEARD))
    assert alignment is not None and lines[int(alignment.aligned.argmax())].text in sentence
    assert words_of(lines, at(Relation.LAST, 0, starts[-1] - time, Track.HEARD)) == {
        f"sentence{index}" for index in range(asked, len(lengths_s))
    }
    past = at(Relation.DURING, starts[-1] + 3, starts[-1] + 4, Track.ANY)
    assert align(lines, past) is None
    assert shows_nothing(lines, past)


def test_a_time_holds_in_each_asset_or_in_the_one_named() -> None:
    segment = frame(video("w", name="other.mp4"), 0, 4)
    lines = [
        seen(0, 0, 8, "tower"),
        Line(video("w", name="other.mp4"), "river", [piece(segment, Origin.OCR, "river")]),
        Line(photo(), "stop", [piece(view(photo()), Origin.OCR, "stop")]),
    ]
    assert words_of(lines, at(Relation.DURING, 4, 5, Track.ANY)) == {"tower", "river"}
    named = at(Relation.DURING, 4, 5, Track.SEEN, "What is shown in Other.mp4?")
    assert words_of(lines, named) == {"river"}


def test_what_is_said_in_a_pause_is_what_is_said_beside_it() -> None:
    lines = [heard(0, 0, 4, "hello"), heard(1, 5.5, 9, "radio"), heard(2, 20, 22, "goodbye")]
    assert words_of(lines, at(Relation.DURING, 4.2, 5.2, Track.HEARD)) == {"hello", "radio"}
    silence = at(Relation.DURING, 14, 15, Track.HEARD)
    assert align(lines, silence) is None and shows_nothing(lines, silence)
    # What may be a time of day as well is not denied.
    assert not shows_nothing(lines, at(Relation.AT, 870, 871, Track.ANY))


def test_all_there_is_lies_before_a_time_past_the_end() -> None:
    lines = [heard(0, 0, 30, "hello"), heard(1, 30, 55, "goodbye")]
    before = at(Relation.BEFORE, 60, 60, Track.HEARD)
    assert words_of(lines, before) == {"hello", "goodbye"}


def test_a_thing_may_appear_twice() -> None:
    lines = [seen(0, 0, 2, "tower"), seen(1, 3, 5, "river"), seen(2, 6, 8, "tower")]
    alignment = align(lines, Focus(Relation.AT, "the tower"))
    assert alignment is not None
    assert alignment.lines == {0, 2}


def test_what_is_named_all_the_time_is_looked_around_where_it_fits_best() -> None:
    count = 30 * ANCHOR_COUNT_MAX
    lines: list[Line] = []
    for index in range(count):
        at_s = 3.0 * index
        text = "the harbour of the island" if index == count - 1 else "the harbour"
        lines.append(seen(index, at_s, at_s + 2, f"page{index}"))
        lines.append(heard(index, at_s, at_s + 1, text))
    focus = Focus(Relation.DURING, "harbour of the island", None, Track.HEARD, Track.SEEN)
    assert words_of(lines, focus) == {f"page{count - 1}"}
    focus = Focus(Relation.DURING, "harbour", None, Track.HEARD, Track.SEEN)
    # As well as the others, so the earlier ones are taken.
    assert words_of(lines, focus) == {f"page{index}" for index in range(ANCHOR_COUNT_MAX)}


@pytest.mark.parametrize("relation", [Relation.AT, Relation.DURING, Relation.AFTER])
def test_nothing_is_aligned_to_what_is_not_there(relation: Relation) -> None:
    lines = [seen(0, 0, 2, "tower"), heard(0, 0, 2, "hello")]
    assert align(lines, Focus(relation, "elephant")) is None
    assert ANCHOR_SCORE_MIN > 0


def test_what_comes_for_a_moment_is_shown_in_it_rather_than_what_is_always_there() -> None:
    lines = [
        called(0, 0, 24, "perhaps envelope"),
        seen(1, 7, 12, "blue whale"),
        heard(2, 8, 10, "it swims in the ocean"),
        seen(3, 13, 18, "cargo ship"),
    ]
    during = Focus(Relation.DURING, "ocean", None, Track.HEARD, Track.SEEN)
    assert words_of(lines, during) == {"blue whale"}
    # A long sentence over a page is no better than a short one.
    lines = [seen(0, 0, 12, "page"), heard(1, 1, 2, "short"), heard(2, 3, 11, "long")]
    during = Focus(Relation.DURING, "page", None, Track.SEEN, Track.HEARD)
    assert words_of(lines, during) == {"short", "long"}


def test_a_doubtful_name_is_shown_first_only_where_nothing_sure_is() -> None:
    lines = [called(0, 0, 2, "perhaps web site"), seen(1, 0, 2, "title"), seen(2, 9, 12, "page")]
    alignment = align(lines, Focus(Relation.FIRST, target_track=Track.SEEN))
    assert alignment is not None
    assert lines[int(alignment.aligned.argmax())].text == "title"
    alignment = align([lines[0], *lines[2:]], Focus(Relation.FIRST, target_track=Track.SEEN))
    assert alignment is not None
    assert alignment.lines == {0}


@pytest.mark.parametrize(
    ("focus", "nothing"),
    [
        (Focus(Relation.DURING, "elephant", None, Track.HEARD, Track.SEEN), True),
        (Focus(Relation.DURING, "radio", None, Track.HEARD, Track.SEEN), True),
        (Focus(Relation.DURING, "hello", None, Track.HEARD, Track.SEEN), False),
        (Focus(Relation.AFTER, "radio", target_track=Track.HEARD), True),
        # "What is the total after tax?" is not about time.
        (Focus(Relation.AFTER, "elephant"), False),
        (Focus(Relation.AT, "elephant"), False),
        (Focus(Relation.LAST, target_track=Track.HEARD), False),
    ],
)
def test_what_the_timeline_does_not_show_is_told(focus: Focus, nothing: bool) -> None:
    lines = [seen(0, 0, 2, "tower"), heard(0, 0, 2, "hello"), heard(1, 40, 42, "radio")]
    assert (align(lines, focus) is None and shows_nothing(lines, focus)) is nothing


def test_a_silent_film_says_nothing_first_and_a_photo_has_no_timeline() -> None:
    assert shows_nothing([seen(0, 0, 2, "tower")], Focus(Relation.FIRST, target_track=Track.HEARD))
    sign = Line(photo(), "stop", [piece(view(photo()), Origin.OCR, "stop")])
    during = Focus(Relation.DURING, "red light", None, Track.SEEN, Track.HEARD)
    assert not shows_nothing([sign], during)


@pytest.mark.parametrize(
    "focus",
    [
        # "What is the first sentence of the letter?", "What does the letter say at 1:30?"
        Focus(Relation.FIRST, target_track=Track.HEARD),
        at(Relation.DURING, 90, 91, Track.HEARD),
        Focus(Relation.DURING, "elephant", None, Track.HEARD, Track.SEEN),
    ],
)
@pytest.mark.parametrize("untimed", [note(), photo()])
def test_a_silent_film_does_not_deny_what_lies_beside_it(focus: Focus, untimed: Asset) -> None:
    film = seen(0, 0, 2, "tower")
    beside = line(untimed, "Dear Anna")
    assert align([film, beside], focus) is None
    assert shows_nothing([film], focus)
    assert not shows_nothing([film, beside], focus)


def test_a_focus_leads_the_weights_and_the_context() -> None:
    fusion = FusionSession(FuseOptions(token_budget=400, temperature=0.1))
    fusion.add_asset(FILM)
    segments = [frame(FILM, index, at_s) for index, at_s in enumerate((0.0, 2.0, 4.0))]
    for segment in segments:
        fusion.add_segment(segment)
    for segment, text in zip(segments, ("tower", "river", "bridge"), strict=True):
        fusion.add_piece(piece(segment, Origin.OCR, text, locator=segment.locator))
        fusion.end_segment(segment.segment_id)
    fusion.complete_asset(FILM.asset_id)
    picture = photo()
    fusion.add_asset(picture)
    fusion.add_segment(view(picture))
    fusion.add_piece(piece(view(picture), Origin.LABEL, "cat"))
    fusion.end_segment(view(picture).segment_id)
    fusion.complete_asset(picture.asset_id)
    sent = list(fusion.take_parts())
    fused = fusion.finish(None, Focus(Relation.AFTER, "tower", target_track=Track.SEEN))
    weights = {weighed.line.text: weighed.weight for weighed in fused.evidence}
    assert sum(weights.values()) == pytest.approx(1.0)
    assert sum(fused.gates.values()) == pytest.approx(1.0)
    assert max(weights, key=lambda text: weights[text]) == "river"
    assert weights["tower"] > weights["bridge"]
    # A photo has no time, so the question may be about it too.
    in_context = {weighed.line.text for weighed in fused.evidence if weighed.in_context}
    assert in_context == {"river", "cat"}
    assert sent and not fused.prefix_kept
