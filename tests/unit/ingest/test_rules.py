"""The rules of sampling, of pauses and of tiles."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.options import FrameSampling, SamplingMethod
from services.ingest.previews import INTERVAL_S, PreviewPace
from services.ingest.sampling import FILLED_COUNT, Budget, sampling_bins
from services.ingest.tiles import TILE_COUNT_MAX, tile_regions
from services.ingest.windows import SAMPLE_RATE_HZ, PauseCutter
from tests import media


@given(st.floats(0.1, 300), st.integers(1, 256))
def test_known_length_gives_equal_bins_within_the_budget(duration_s: float, budget: int) -> None:
    bins = list(sampling_bins(duration_s, FrameSampling(count_max=budget)))
    wanted = max(FILLED_COUNT, int(np.ceil(duration_s / 2)))
    assert len(bins) == min(budget, wanted)
    widths = [each.end_s - each.start_s for each in bins]
    assert np.allclose(widths, duration_s / len(bins))
    assert bins[0].start_s == 0
    assert np.isclose(bins[-1].end_s, duration_s)


@given(st.integers(1, 256))
def test_unknown_length_never_spends_more_than_the_budget(budget: int) -> None:
    bins = list(sampling_bins(None, FrameSampling(count_max=budget)))
    assert len(bins) == budget
    assert all(first.end_s == second.start_s for first, second in itertools.pairwise(bins))
    if budget >= 32:
        assert bins[-1].end_s > 240


@given(
    st.one_of(st.none(), st.floats(0.1, 300)),
    st.sampled_from(SamplingMethod),
    st.integers(1, 256),
    st.floats(0.1, 30),
    st.lists(st.floats(0, 300), max_size=400).map(sorted),
)
def test_no_method_takes_more_than_its_budget_or_its_rate(
    duration_s: float | None,
    method: SamplingMethod,
    count_max: int,
    rate_hz: float,
    times_s: list[float],
) -> None:
    budget = Budget(sampling_bins(duration_s, FrameSampling(method, count_max, rate_hz)))
    taken = []
    for time_s in times_s:
        if budget.admits(time_s):
            budget.spend()
            taken.append(time_s)
    assert len(taken) <= count_max
    if times_s:
        # One a bin: two of neighbouring bins may be close, three may not.
        assert len(taken) <= np.ceil((duration_s or times_s[-1] + 1) * rate_hz) + 1


@given(
    st.integers(0, 40 * SAMPLE_RATE_HZ),
    st.lists(st.integers(1, 5 * SAMPLE_RATE_HZ), max_size=20),
    st.integers(0, 3),
    st.booleans(),
)
def test_windows_tile_the_signal_whatever_the_pieces(
    count: int, sizes: list[int], seed: int, is_patient: bool
) -> None:
    signal = np.random.default_rng(seed).integers(-9000, 9000, count).astype(np.int16)
    pieces = np.split(signal, np.clip(np.cumsum(sizes), 0, count)) if sizes else [signal]
    cutter, whole = (PauseCutter(4, 12, is_patient=is_patient) for _ in range(2))
    windows = [window for piece in pieces for window in cutter.push(piece)] + list(cutter.flush())
    expected = list(whole.push(signal)) + list(whole.flush())
    assert [len(window) for window in windows] == [len(window) for window in expected]
    assert np.array_equal(np.concatenate([*windows, np.empty(0, np.int16)]), signal)
    for window in windows[:-1]:
        assert 4 * SAMPLE_RATE_HZ <= len(window) <= 12 * SAMPLE_RATE_HZ


def test_the_first_words_come_sooner_than_later_ones() -> None:
    cutter = PauseCutter(6, 14, first_min_s=4)
    signal = media.speech_like(40, pause_every_s=5.0)
    windows = [*cutter.push(signal), *cutter.flush()]
    lengths_s = [len(window) / SAMPLE_RATE_HZ for window in windows]
    assert 4 <= lengths_s[0] < 6
    assert all(6 <= length_s <= 14 for length_s in lengths_s[1:-1])


def test_sound_is_cut_in_its_pauses() -> None:
    cutter = PauseCutter(4, 12)
    first = next(cutter.push(media.speech_like(13, pause_every_s=7)))
    assert 7.1 <= len(first) / SAMPLE_RATE_HZ <= 7.3


def test_who_is_patient_has_sound_cut_in_its_longest_pause() -> None:
    signal = media.speech_like(40, pause_every_s=60)
    for start_s, end_s in ((12.0, 12.4), (17.0, 17.8), (24.0, 24.3)):
        signal[round(start_s * SAMPLE_RATE_HZ) : round(end_s * SAMPLE_RATE_HZ)] = 0
    cutter = PauseCutter.patient()
    windows = [*cutter.push(signal), *cutter.flush()]
    assert [round(len(window) / SAMPLE_RATE_HZ, 1) for window in windows] == [17.4, 22.6]


@given(st.lists(st.integers(1, SAMPLE_RATE_HZ), max_size=30), st.integers(15, 60), st.booleans())
def test_a_long_pause_ends_a_window_of_any_length(
    sizes: list[int], pause_tenths: int, is_patient: bool
) -> None:
    sentence = media.speech_like(2.0, pause_every_s=60)
    pause = np.zeros(pause_tenths * SAMPLE_RATE_HZ // 10, np.int16)
    signal = np.concatenate([sentence, pause, sentence, pause, sentence])
    pieces = np.split(signal, np.clip(np.cumsum(sizes), 0, len(signal)))
    cutter = PauseCutter.patient() if is_patient else PauseCutter(6, 14, first_min_s=4)
    windows = [window for piece in pieces for window in cutter.push(piece)] + list(cutter.flush())
    assert len(windows) == 3
    assert 2.45 <= len(windows[0]) / SAMPLE_RATE_HZ <= 2.55


def test_silence_alone_is_not_cut_short() -> None:
    cutter = PauseCutter(6, 14, first_min_s=4)
    windows = list(cutter.push(np.zeros(30 * SAMPLE_RATE_HZ, np.int16)))
    assert all(len(window) >= 4 * SAMPLE_RATE_HZ for window in windows)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_tiles_cover_any_picture_and_stay_inside(width_px: int, height_px: int) -> None:
    regions = tile_regions(width_px, height_px)
    assert len(regions) <= TILE_COUNT_MAX
    assert bool(regions) == (max(width_px, height_px) > 1600)
    for region in regions:
        assert region.left_px + region.width_px <= width_px
        assert region.top_px + region.height_px <= height_px
    corners = {(r.left_px, r.top_px) for r in regions}
    assert len(corners) == len(regions)
    if regions:
        assert sum(r.width_px * r.height_px for r in regions) >= width_px * height_px


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 40_000), st.booleans()), max_size=60))
def test_previews_are_a_second_apart_and_bring_a_second_of_new_sound(
    pieces: list[tuple[float, int, bool]],
) -> None:
    now_s, total, open_count = 0.0, 0, 0
    pace = PreviewPace(lambda: now_s)
    shown_at_s, shown_total = -INTERVAL_S, 0
    for wait_s, sample_count, cut in pieces:
        now_s += wait_s
        total += sample_count
        open_count = sample_count if cut else open_count + sample_count
        new_count = min(open_count, total - shown_total)
        due = now_s - shown_at_s >= INTERVAL_S and new_count >= INTERVAL_S * SAMPLE_RATE_HZ
        assert pace.is_due(total, open_count) == due
        if due:
            shown_at_s, shown_total = now_s, total
