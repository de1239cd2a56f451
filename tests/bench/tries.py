"""What a try at finding pictures by captions is given, and what it gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.encode.labels import Vocabulary

Numbers = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Numbers]


@dataclass(frozen=True, slots=True)
class Words:
    """Texts and vectors of the 1000 classes and of the captions."""

    embed: Embed
    vocabulary: Vocabulary
    captions: Sequence[str]
    owners: Sequence[int]
    """Of each caption the number of its picture."""

    def phrases(self) -> list[str]:
        """A text of each class: its name and broader words."""
        each = zip(self.vocabulary.names, self.vocabulary.broader, strict=True)
        return [", ".join([name, *broader]) for name, broader in each]

    def classes(self) -> Numbers:
        """The vectors of the phrases."""
        return self.embed(self.phrases())


@dataclass(frozen=True, slots=True)
class Try:
    """What was changed, and the similarities of captions (rows) to pictures."""

    name: str
    similarities: Numbers
