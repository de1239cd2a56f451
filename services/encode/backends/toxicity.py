"""Text to scores of toxicity: a bidirectional LSTM over the words of a comment.

Embedding, Bi-LSTM, maximum over the steps (Collobert and Weston, 2008), two dense
layers; trained on the Jigsaw Toxic Comment Classification Challenge (2018, English
Wikipedia talk pages) and published as the package toxic-comment-classifier. It needs
no more than numpy, at 5 ms a passage, so TensorFlow stays out.

How good it is: of 68 labelled sentences (tests/unit/encode/labelled_sentences.py) the
threshold 0.7 on "toxic" finds 24 of 32 that are harmful and accuses 1 of 36 harmless
ones ("also called an ass"); 0.5 finds 26 and accuses 3. It knows words more than
meaning: threats without a rude word pass it, and so does what is misspelt on purpose.
"""

import pickle
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.runtime.errors import InternalFailure
from services.runtime.models import ResolvedModel, resolve

CATEGORIES = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
"""In the order of the network's outputs."""
WINDOW_WORDS = 100
_STRIDE_WORDS = 80
_VOCABULARY_SIZE = 20_000
_UNITS = 50
_SEPARATORS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))

Words = NDArray[np.int32]
Floats = NDArray[np.float32]

# Where the arrays lie in the HDF5 file, as offset and shape. The file is pinned by its
# SHA-256 and stores them in one piece, so no HDF5 library is needed to read them.
_LAYOUT: Mapping[str, tuple[int, tuple[int, ...]]] = {
    "embedding": (6_608, (_VOCABULARY_SIZE, _UNITS)),
    "forward.kernel": (4_099_192, (_UNITS, 4 * _UNITS)),
    "forward.recurrent": (4_141_240, (_UNITS, 4 * _UNITS)),
    "forward.bias": (4_095_264, (4 * _UNITS,)),
    "backward.kernel": (4_012_416, (_UNITS, 4 * _UNITS)),
    "backward.recurrent": (4_054_464, (_UNITS, 4 * _UNITS)),
    "backward.bias": (4_094_464, (4 * _UNITS,)),
    "hidden.kernel": (4_187_320, (2 * _UNITS, _UNITS)),
    "hidden.bias": (4_096_064, (_UNITS,)),
    "output.kernel": (4_211_664, (_UNITS, len(CATEGORIES))),
    "output.bias": (4_096_264, (len(CATEGORIES),)),
}


class ToxicComments:
    """A text to a score, 0 to 1, for each category: the highest of its windows of 100 words."""

    def __init__(self, model: ResolvedModel) -> None:
        self._numbers = read_vocabulary(model.files["tokenizer.pickle"])
        self._arrays = {
            name: _read_array(model.path, offset, shape)
            for name, (offset, shape) in _LAYOUT.items()
        }
        self._description = ModelDescription(model.ref, "numpy-f32", model.sha256)

    @classmethod
    def load(cls, ref: str, options: LoadOptions) -> "ToxicComments":
        """Resolves and loads the model. Blocks."""
        return cls(resolve(ref, options.cache_dir))

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: str) -> Words:
        """The numbers of the known words, of shape (windows, 100), padded at the front as in
        training; windows overlap by 20 words."""
        words = raw.lower().translate(_SEPARATORS).split()
        known = [number for word in words if (number := self._numbers.get(word))]
        starts = range(0, max(1, len(known) - (WINDOW_WORDS - _STRIDE_WORDS)), _STRIDE_WORDS)
        windows = np.zeros((len(starts), WINDOW_WORDS), np.int32)
        for window, start in zip(windows, starts, strict=True):
            piece = known[start : start + WINDOW_WORDS]
            if piece:
                window[-len(piece) :] = piece
        return windows

    def forward(self, batch: Sequence[Words]) -> list[Floats]:
        """The scores of each window, of shape (windows, 6)."""
        arrays = self._arrays
        embedded = arrays["embedding"][np.concatenate(batch)]
        strongest = np.concatenate(
            [
                self._strongest(embedded, "forward"),
                self._strongest(embedded[:, ::-1], "backward"),
            ],
            axis=1,
        )
        hidden = np.maximum(strongest @ arrays["hidden.kernel"] + arrays["hidden.bias"], 0)
        scores = _sigmoid(hidden @ arrays["output.kernel"] + arrays["output.bias"])
        ends = np.cumsum([len(windows) for windows in batch])
        return np.split(scores, ends[:-1])

    def finish(self, output: Floats) -> dict[str, float]:
        """The highest score of each category."""
        return dict(zip(CATEGORIES, output.max(axis=0).tolist(), strict=True))

    def _strongest(self, embedded: Floats, direction: str) -> Floats:
        """The maximum over all steps of an LSTM's output, of shape (windows, 50)."""
        recurrent = self._arrays[f"{direction}.recurrent"]
        kernel, bias = self._arrays[f"{direction}.kernel"], self._arrays[f"{direction}.bias"]
        entering = embedded @ kernel + bias
        output = np.zeros((len(embedded), _UNITS), np.float32)
        cell = np.zeros_like(output)
        strongest = np.full_like(output, -np.inf)
        for step in range(WINDOW_WORDS):
            gates = entering[:, step] + output @ recurrent
            admit, keep, candidate, show = np.split(gates, 4, axis=1)
            cell = _sigmoid(keep) * cell + _sigmoid(admit) * np.tanh(candidate)
            output = _sigmoid(show) * np.tanh(cell)
            np.maximum(strongest, output, out=strongest)
        return strongest


def _sigmoid(values: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def _read_array(path: Path, offset_bytes: int, shape: tuple[int, ...]) -> Floats:
    count = int(np.prod(shape))
    return np.fromfile(path, "<f4", count, offset=offset_bytes).reshape(shape)


class _Tokenizer:
    """Stands in for the class that was pickled; keeps its fields and has no behaviour."""

    word_index: Mapping[str, int]


class _VocabularyReader(pickle.Unpickler):
    """Reads one pickle from a stranger: it finds containers and a stand-in, nothing to run.

    See "Restricting Globals" in the documentation of pickle.
    """

    _KNOWN: Mapping[tuple[str, str], Any] = {
        ("builtins", "int"): int,
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "defaultdict"): defaultdict,
        ("keras.src.legacy.preprocessing.text", "Tokenizer"): _Tokenizer,
    }

    def find_class(self, module: str, name: str) -> Any:
        """The known classes. Raises InternalFailure VOCABULARY_UNSAFE for any other."""
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise InternalFailure(
                "VOCABULARY_UNSAFE", "A model's vocabulary holds more than words.", subject=name
            ) from None


def read_vocabulary(path: Path) -> dict[str, int]:
    """Words to numbers from 1, the most frequent first."""
    with path.open("rb") as stream:
        tokenizer: _Tokenizer = _VocabularyReader(stream).load()
    return {
        word: number for word, number in tokenizer.word_index.items() if number < _VOCABULARY_SIZE
    }
