"""Weights: attention over evidence, gated by modality."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.fuse.fusion import fuse
from services.fuse.model import Modality
from services.fuse.weighting import weigh
from tests.unit.fuse.builders import line, note, photo, unit, video

ASSETS = [photo(), video(), note()]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(ASSETS),
            st.one_of(st.none(), st.floats(0, 2 * math.pi)),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=30,
    ),
    st.one_of(st.none(), st.floats(0, 2 * math.pi)),
    st.floats(0.001, 10),
)
def test_weights_and_gates_add_up_to_one(
    drawn: list[tuple[object, float | None, float]], angle: float | None, temperature: float
) -> None:
    def at(radians: float) -> np.ndarray:
        return unit(math.cos(radians), math.sin(radians))

    lines = [
        line(asset, "x", vector=None if a is None else at(a), confidence=confidence)  # type: ignore[arg-type]
        for asset, a, confidence in drawn
    ]
    weights = weigh(lines, None if angle is None else at(angle), temperature)
    assert weights.weight.sum() == pytest.approx(1.0)
    assert (weights.weight >= 0).all()
    assert sum(weights.gates.values()) == pytest.approx(1.0)
    for modality, gate in weights.gates.items():
        within = [
            w for w, found in zip(weights.weight, lines, strict=True) if found.modality is modality
        ]
        assert sum(within) == pytest.approx(gate)


def test_evidence_that_answers_the_question_weighs_most() -> None:
    question = unit(1, 0)
    lines = [
        line(photo(), "near", vector=unit(1, 0.2)),
        line(photo(), "far", vector=unit(0, 1)),
        line(video(), "opposite", vector=unit(-1, 0)),
    ]
    weights = weigh(lines, question, 0.1)
    assert weights.similarity == pytest.approx([0.9806, 0.0, -1.0], abs=1e-3)
    assert weights.weight[0] > 0.99
    assert weights.gates[Modality.IMAGE] > weights.gates[Modality.VIDEO]


def test_half_the_confidence_is_half_the_weight() -> None:
    lines = [line(photo(), "a", confidence=0.8), line(photo(), "b", confidence=0.4)]
    weights = weigh(lines, None, 0.1)
    assert weights.weight[0] / weights.weight[1] == pytest.approx(2.0)


def test_many_lines_of_a_video_do_not_drown_the_photo() -> None:
    lines = [
        line(photo(), "a", confidence=0.5),
        *(line(video(), f"{i}", confidence=0.5) for i in range(200)),
    ]
    assert weigh(lines, None, 0.1).weight[0] == pytest.approx(0.5)


def test_a_higher_temperature_evens_the_weights_out() -> None:
    lines = [line(photo(), "a", vector=unit(1, 0)), line(photo(), "b", vector=unit(0, 1))]
    sharp = weigh(lines, unit(1, 0), 0.05).weight[0]
    soft = weigh(lines, unit(1, 0), 1.0).weight[0]
    assert sharp > soft > 0.5


def test_the_fused_vector_leans_to_the_heavier_evidence() -> None:
    lines = [line(photo(), "a", vector=unit(1, 0)), line(photo(), "b", vector=unit(0, 1))]
    fused = fuse(lines, weigh(lines, unit(1, 0), 0.5), [])
    assert fused is not None
    assert np.linalg.norm(fused) == pytest.approx(1.0)
    assert fused[0] > fused[1] > 0


def test_silent_segments_count_little_beside_evidence_and_fully_without() -> None:
    spoken = [line(photo(), "a", vector=unit(1, 0))]
    fused = fuse(spoken, weigh(spoken, None, 0.1), [unit(0, 1)])
    assert fused is not None
    assert fused[0] > 0.9 > 0.2 > fused[1] > 0
    alone = fuse([], weigh([], None, 0.1), [unit(0, 1)])
    assert alone == pytest.approx([0.0, 1.0])
    assert fuse([], weigh([], None, 0.1), []) is None
