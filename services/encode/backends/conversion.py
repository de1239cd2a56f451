"""OpenVINO models, converted once from torch and kept in the cache folder.

A warm start reads the kept model and never imports torch.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openvino as ov

MODEL_FILE = "model.xml"


def converted(
    cache_dir: Path, name: str, weights_sha256: str, convert: Callable[[], ov.Model]
) -> Path:
    """The kept model file, converted now if it is not there. Safe against two processes at once.

    ``name`` must change whenever the way of converting does.
    """
    version = ov.__version__.split("-")[0]
    folder = cache_dir / "converted" / f"{name}-{weights_sha256[:16]}-openvino-{version}"
    if not (folder / MODEL_FILE).is_file():
        _convert_into(folder, convert)
    return folder / MODEL_FILE


def _convert_into(folder: Path, convert: Callable[[], ov.Model]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        # Exact weights: half-precision storage would change the vectors.
        ov.save_model(convert(), temporary / MODEL_FILE, compress_to_fp16=False)
        for file in temporary.iterdir():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        try:
            temporary.rename(folder)
        except OSError:
            # Another process was first; its model is as good as ours.
            if not (folder / MODEL_FILE).is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def compile_for_cpu(
    model_file: Path,
    precision: str,
    cpu_threads: int,
    stream_count: int = 1,
    *,
    pinned: bool = True,
    keeps_shapes: bool = True,
) -> ov.CompiledModel:
    """A model ready to run on the CPU: ``stream_count`` requests at once, which share
    ``cpu_threads`` threads.

    ``pinned`` keeps each thread on a core of its own: for short passes that take all of them.
    ``keeps_shapes`` keeps what is prepared for one shape of the input for when it comes again:
    for few shapes, as memory grows with each.
    ``precision`` is "f32" or "bf16"; always explicit, since OpenVINO would pick
    bf16 by itself on a CPU that has it, for models that it ruins too.
    """
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": cpu_threads,
        "NUM_STREAMS": stream_count,
        # Pinned, the streams of two models meet on one core.
        "ENABLE_CPU_PINNING": pinned and stream_count == 1,
    }
    if not keeps_shapes:
        options["CPU_RUNTIME_CACHE_CAPACITY"] = 0
    return ov.Core().compile_model(model_file, "CPU", options)


def cpu_has_bf16() -> bool:
    """Whether bf16 is fast here (AVX512-BF16 or AMX)."""
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
