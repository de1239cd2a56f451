"""Which stages there are, and how to host any of them in one process."""

import importlib
from collections.abc import Iterable

from services.runtime.server import BuildStage, run
from services.runtime.settings import Settings

STAGE_NAMES = ("ingest", "encode", "fuse", "generate", "search", "gateway")


def builders(names: Iterable[str] = STAGE_NAMES) -> dict[str, BuildStage]:
    """The build function of each named stage; a stage's libraries load only if it is named."""
    return {name: importlib.import_module(f"services.{name}.stage").build for name in names}


def serve(names: Iterable[str], settings: Settings) -> None:
    """Host the named stages until SIGTERM or SIGINT; without names all that run nowhere else."""
    chosen = list(names) or [
        name for name in STAGE_NAMES if not getattr(settings, f"{name}_address", "")
    ]
    run(builders(chosen), settings)
