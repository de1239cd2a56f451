"""Text to vectors: all-MiniLM-L6-v2 (Reimers and Gurevych, Sentence-BERT, 2019) by OpenVINO."""

from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from tokenizers import Tokenizer

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.backends.conversion import compile_for_cpu, converted, cpu_has_bf16
from services.runtime.errors import InvalidInput
from services.runtime.models import ResolvedModel, resolve

SPACE = "minilm-l6-v2"
DIMENSION = 384

# The model was trained on 256 tokens; longer text is read in windows, averaged.
_WINDOW_TOKENS = 256
_WINDOW_COUNT_MAX = 8
# An unseen shape costs about 20 ms, so few shapes: (texts, tokens).
_BATCH_SIZES = (16, 4, 1)
_TOKEN_COUNTS = (16, 32, 64, 128, _WINDOW_TOKENS)
_WARM_TOKENS_MAX = 512

_CLS_ID, _SEP_ID = 101, 102

Vector = NDArray[np.float32]


class MiniLm:
    """Text (str) to a float32 vector of shape (384,) and unit length.

    ``forward`` may be called by as many threads at once as the model has CPU threads.
    Each call runs on one: two at once embed 1,100 sentences a second on two cores, one
    after the other on both cores 1,030, and one of them alone takes 0.7 ms longer.
    """

    def __init__(self, model: ResolvedModel, options: LoadOptions) -> None:
        precision = "bf16" if cpu_has_bf16() else "f32"
        path = converted(options.cache_dir, "minilm-r1", model.sha256, lambda: _convert(model))
        threads = options.cpu_threads
        compiled = compile_for_cpu(path, precision, threads, stream_count=threads)
        self._requests: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(threads):
            self._requests.put(compiled.create_infer_request())
        self._tokenizer = Tokenizer.from_file(str(model.files["tokenizer.json"]))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._description = ModelDescription(
            model.ref, f"openvino-{precision}", model.sha256, SPACE, DIMENSION
        )
        self._warm_up()

    @classmethod
    def load(cls, ref: str, options: LoadOptions) -> "MiniLm":
        """Resolves and loads the model; converts it at the first start. Blocks."""
        return cls(resolve(ref, options.cache_dir), options)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: str) -> str:
        """Checks a text; tokenising is left to ``forward``, where it goes by the batch.

        Raises:
            InvalidInput: TEXT_EMPTY.
        """
        if not raw.strip():
            raise InvalidInput("TEXT_EMPTY", "The text is empty.", subject="text")
        return raw

    def forward(self, batch: Sequence[str]) -> list[Vector]:
        """One vector for each text."""
        windows: list[list[int]] = []
        owners: list[int] = []
        for owner, encoding in enumerate(self._tokenizer.encode_batch(list(batch))):
            for window in _windows(encoding.ids):
                windows.append(window)
                owners.append(owner)
        vectors = self._run_windows(windows)
        sums = np.zeros((len(batch), DIMENSION), np.float32)
        lengths = np.array([len(window) for window in windows], np.float32)
        np.add.at(sums, owners, vectors * lengths[:, None])
        sums /= np.linalg.norm(sums, axis=1, keepdims=True)
        return list(sums)

    def finish(self, output: Vector) -> Vector:
        """The vector as it is."""
        return output

    def _run_windows(self, windows: Sequence[list[int]]) -> Vector:
        """Vectors of token windows, shape (windows, 384). Like lengths go together."""
        order = sorted(range(len(windows)), key=lambda index: len(windows[index]))
        vectors = np.empty((len(windows), DIMENSION), np.float32)
        for chunk in _chunks(order):
            vectors[chunk] = self._run_chunk([windows[index] for index in chunk])
        return vectors

    def _run_chunk(self, windows: Sequence[list[int]]) -> Vector:
        longest = max(len(window) for window in windows)
        width = next(count for count in _TOKEN_COUNTS if count >= longest)
        ids = np.zeros((len(windows), width), np.int64)
        mask = np.zeros((len(windows), width), np.int64)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        request = self._requests.get()
        try:
            request.infer({0: ids, 1: mask}, share_inputs=True)
            return np.array(request.get_output_tensor(0).data)
        finally:
            self._requests.put(request)

    def _warm_up(self) -> None:
        # Compiled shapes are kept for all requests.
        for size in _BATCH_SIZES:
            for count in _TOKEN_COUNTS:
                if size * count <= _WARM_TOKENS_MAX:
                    self._run_chunk([[_CLS_ID] * count] * size)


def _windows(ids: Sequence[int]) -> Iterator[list[int]]:
    if len(ids) <= _WINDOW_TOKENS:
        yield list(ids)
        return
    body, step = ids[1:-1], _WINDOW_TOKENS - 2
    for start in range(0, min(len(body), step * _WINDOW_COUNT_MAX), step):
        yield [_CLS_ID, *body[start : start + step], _SEP_ID]


def _chunks(order: Sequence[int]) -> Iterator[list[int]]:
    start = 0
    for size in _BATCH_SIZES:
        while len(order) - start >= size:
            yield list(order[start : start + size])
            start += size


def _convert(model: ResolvedModel) -> ov.Model:
    import torch
    from transformers import AutoModel

    class Pooled(torch.nn.Module):
        """The encoder with mean pooling over tokens and L2 normalisation."""

        def __init__(self, encoder: torch.nn.Module) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            output = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
            hidden = output.last_hidden_state
            mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, p=2.0, dim=1)

    encoder = AutoModel.from_pretrained(
        model.folder, local_files_only=True, use_safetensors=True, attn_implementation="eager"
    ).eval()
    example = torch.ones(2, 16, dtype=torch.long)
    with torch.inference_mode():
        return ov.convert_model(
            Pooled(encoder),
            example_input={"input_ids": example, "attention_mask": example},
            input=[([-1, -1]), ([-1, -1])],
        )
