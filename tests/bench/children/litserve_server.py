"""LitServe serving the same model, batched as its documentation says.

Arguments: the port, and what runs the model: "torch", as its users have it, or
"engine", the very back end of our encode service.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import litserve

from services.encode.backends.contract import LoadOptions
from services.encode.backends.registry import TEXT_EMBEDDERS
from services.encode.engines import ModelChoice
from services.runtime.models import resolve
from services.runtime.settings import load_settings

BATCH_SIZE_MAX = 64
BATCH_TIMEOUT_S = 0.01


Embed = Callable[[list[str]], Sequence[Any]]


def load_engine() -> Embed:
    """The back end of the encode service."""
    settings = load_settings()
    ref = ModelChoice().text
    options = LoadOptions(settings.cache_dir, settings.cpu_threads)
    return TEXT_EMBEDDERS[ref](ref, options).forward


def load_torch() -> Embed:
    """The model in torch, with mean pooling: what sentence-transformers does."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    settings = load_settings()
    folder = resolve(ModelChoice().text, settings.cache_dir).folder
    torch.set_num_threads(settings.cpu_threads)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    @torch.inference_mode()
    def embed(texts: list[str]) -> Any:
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        hidden = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean, dim=1).numpy()

    return embed


LOADERS = {"engine": load_engine, "torch": load_torch}


class EmbedApi(litserve.LitAPI):  # type: ignore[misc]
    """POST /predict with {"text"} gives {"embedding"}."""

    def __init__(self, loader: str) -> None:
        super().__init__(max_batch_size=BATCH_SIZE_MAX, batch_timeout=BATCH_TIMEOUT_S)
        self.loader = loader

    def setup(self, device: str) -> None:
        """Load the model in the worker process."""
        self.embed = LOADERS[self.loader]()

    def decode_request(self, request: dict[str, str]) -> str:
        """The text of a request."""
        return request["text"]

    def predict(self, texts: list[str]) -> Sequence[Any]:
        """The vectors of a batch."""
        return self.embed(texts)

    def encode_response(self, output: Any) -> dict[str, list[float]]:
        """A vector as JSON."""
        return {"embedding": output.tolist()}


if __name__ == "__main__":
    api = EmbedApi(sys.argv[2])
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    # Standard output is the parent's channel elsewhere; here only the port matters.
    os.dup2(2, 1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
