"""What an engine must do: prepare, forward, finish.

The split is infinity's: only ``forward`` is batched. ``prepare`` and ``finish``
handle one item and may run in any thread, many at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

RawT_contra = TypeVar("RawT_contra", contravariant=True)
PreparedT = TypeVar("PreparedT")
OutputT = TypeVar("OutputT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What runs: reference, engine (such as "openvino-f32"), SHA-256 of the weights.

    ``space`` and ``dimension`` are set where it makes vectors, ``extra`` where results depend
    on more than the weights.
    """

    ref: str
    engine: str
    sha256: str
    space: str = ""
    dimension: int = 0
    extra: str = ""

    @property
    def identity(self) -> str:
        """What results depend on; part of their cache keys."""
        return f"{self.ref} {self.engine} {self.sha256} {self.extra}".rstrip()


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What a back end needs to load: where converted models are kept, how many CPU threads."""

    cache_dir: Path
    cpu_threads: int


class Backend(Protocol[RawT_contra, PreparedT, OutputT, ResultT_co]):
    """A loaded model. Methods raise SensoriumError for bad input; anything else is our fault."""

    @property
    def description(self) -> ModelDescription:
        """What runs."""

    def prepare(self, raw: RawT_contra) -> PreparedT:
        """Decodes and checks one item."""

    def forward(self, batch: Sequence[PreparedT]) -> Sequence[OutputT]:
        """Runs the model on a batch, results in order. Called from worker threads."""

    def finish(self, output: OutputT) -> ResultT_co:
        """Turns one output of the model into a result."""
