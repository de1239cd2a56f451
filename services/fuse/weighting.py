"""How much each line of context counts for the question.

Attention over the evidence of a turn, in two steps as in hierarchical attention
(Yang et al. 2016, "Hierarchical Attention Networks for Document Classification"):
a softmax within each modality, and a gate that is a softmax across modalities
(gated fusion: Arevalo et al. 2017, "Gated Multimodal Units for Information
Fusion"; here the gate is computed from the same scores, nothing is learned).

- similarity: cosine of the question and the line; a line of several pieces takes
  its best piece (late interaction: Khattab and Zaharia 2020, "ColBERT").
- logit: similarity / temperature + log(confidence). This is scaled dot-product
  attention (Vaswani et al. 2017, "Attention Is All You Need") with the
  confidence as prior: a line of half the confidence gets half the weight.
- gate of a modality: softmax over the largest logit of each. The largest, not
  the log-sum-exp, so that a video of two hundred lines does not drown the one
  line of a photo by their number.
- weight: gate x softmax within the modality. The weights add up to 1.

Without a question's vector all similarities are 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.fuse.lines import Line
from services.fuse.model import Modality, Vector

# No confidence makes a line weigh nothing: the model may be wrong about that too.
MIN_CONFIDENCE = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """Per line, in the order of the lines: float64 [lines] each."""

    similarity: NDArray[np.float64]
    weight: NDArray[np.float64]
    gates: dict[Modality, float]

    def replaced(self, lines: Sequence[Line], weight: NDArray[np.float64]) -> "Weights":
        """The same with other weights, float64 [lines], and the gates that follow from them."""
        gates = dict.fromkeys(self.gates, 0.0)
        for line, share in zip(lines, weight, strict=True):
            gates[line.modality] += float(share)
        return replace(self, weight=weight, gates=gates)


def weigh(lines: Sequence[Line], question: Vector | None, temperature: float) -> Weights:
    """Weighs lines against the question's vector (float32 [dimension], unit
    length, or None). ``temperature`` is in units of cosine and above 0."""
    similarity = np.array([_similarity(line, question) for line in lines], dtype=np.float64)
    prior = [math.log(max(line.confidence, MIN_CONFIDENCE)) for line in lines]
    logits = similarity / temperature + np.array(prior, dtype=np.float64)

    members: dict[Modality, list[int]] = {}
    for index, line in enumerate(lines):
        members.setdefault(line.modality, []).append(index)
    modalities = [modality for modality in Modality if modality in members]
    gates = _softmax(np.array([logits[members[m]].max() for m in modalities], dtype=np.float64))

    weight = np.zeros(len(lines), dtype=np.float64)
    for modality, gate in zip(modalities, gates, strict=True):
        weight[members[modality]] = gate * _softmax(logits[members[modality]])
    return Weights(
        similarity, weight, {m: float(gate) for m, gate in zip(modalities, gates, strict=True)}
    )


def _similarity(line: Line, question: Vector | None) -> float:
    vectors = [piece.vector for piece in line.pieces if piece.vector is not None]
    if question is None or not vectors:
        return 0.0
    return float(np.clip(max(float(vector @ question) for vector in vectors), -1.0, 1.0))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    if not logits.size:
        return logits
    exponential = np.exp(logits - logits.max())
    normalised: NDArray[np.float64] = exponential / exponential.sum()
    return normalised
