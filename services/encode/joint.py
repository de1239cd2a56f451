"""The models of the joint space at work: texts as its vectors, and pictures beside them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from services.encode.backends import registry
from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.captioned import load_captioned
from services.encode.labels import Vocabulary
from services.encode.projection import (
    CAPTION_COMMON_SHARE,
    CLASS_COMMON_SHARE,
    JointSpace,
    Vectors,
    load_vectors,
)

SPACE = "minilm-efficientnet-2"
"""Another number whenever vectors change: what is stored is then indexed anew."""


class TextModel(Protocol):
    """Texts to vectors of what they mean, in rows of unit length."""

    @property
    def description(self) -> ModelDescription:
        """What runs."""

    def prepare(self, raw: str) -> str:
        """Checks one text."""

    def forward(self, batch: Sequence[str]) -> list[Vectors]:
        """A vector for each."""


class JointTexts:
    """Text (str) to a vector of the joint space, float32 of shape (dimension,), unit length."""

    def __init__(self, model: TextModel, space: JointSpace) -> None:
        self._model, self._space = model, space
        self._description = replace(
            model.description,
            space=SPACE,
            dimension=space.dimension,
            extra=f"{SPACE} {space.identity}",
        )

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: str) -> str:
        """As the model does."""
        return self._model.prepare(raw)

    def forward(self, batch: Sequence[str]) -> list[Vectors]:
        """One vector for each text."""
        return list(self._space.texts(np.stack(self._model.forward(batch))))

    def finish(self, output: Vectors) -> Vectors:
        """The vector as it is."""
        return output


def load_joint(
    ref: str, vocabulary: Vocabulary, options: LoadOptions
) -> tuple[JointTexts, JointSpace]:
    """The text model and the space around it. Blocks; raises as loading a model does."""
    model = registry.TEXT_EMBEDDERS[ref](ref, options)
    captioned = load_captioned()

    def vectors(wordings: Sequence[Sequence[str]], common_share: float) -> Vectors:
        identity = model.description.identity
        return load_vectors(options.cache_dir, wordings, common_share, model.forward, identity)

    classes = [vocabulary.wordings(index) for index in range(len(vocabulary.names))]
    space = JointSpace(
        vectors(classes, CLASS_COMMON_SHARE),
        vectors([[name] for name in vocabulary.names], CLASS_COMMON_SHARE),
        captioned,
        vectors(captioned.wordings, CAPTION_COMMON_SHARE),
    )
    return JointTexts(model, space), space
