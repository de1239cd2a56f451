"""LitServe around the same text engine, set up as its documentation says for batching."""

import os
import sys
from typing import Any

import litserve

from services.encode.backends.contract import LoadOptions
from services.encode.backends.registry import TEXT_EMBEDDERS
from services.encode.engines import ModelChoice
from services.runtime.settings import load_settings

BATCH_SIZE_MAX = 64
BATCH_TIMEOUT_S = 0.01


class EmbedApi(litserve.LitAPI):  # type: ignore[misc]
    """POST /predict with {"text"} gives {"embedding"}."""

    def setup(self, device: str) -> None:
        """Load the model in the worker process."""
        settings = load_settings()
        ref = ModelChoice().text
        self.model = TEXT_EMBEDDERS[ref](ref, LoadOptions(settings.cache_dir, settings.cpu_threads))

    def decode_request(self, request: dict[str, str]) -> str:
        """The text of a request."""
        return request["text"]

    def predict(self, texts: list[str]) -> list[Any]:
        """The vectors of a batch."""
        return self.model.forward(texts)

    def encode_response(self, output: Any) -> dict[str, list[float]]:
        """A vector as JSON."""
        return {"embedding": output.tolist()}


if __name__ == "__main__":
    api = EmbedApi(max_batch_size=BATCH_SIZE_MAX, batch_timeout=BATCH_TIMEOUT_S)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    # Standard output is the parent's channel elsewhere; here only the port matters.
    os.dup2(2, 1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
