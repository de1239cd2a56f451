"""llama.cpp, by xllamacpp's in-process server, on a GGUF file.

Completions run in-process through a callback. Tokenising and the chat template
have no in-process entry in xllamacpp, so they go to the same server over HTTP;
it listens on a Unix socket in a folder that only this user can open, and on no
TCP port.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.generate.backends.base import (
    ChatMessage,
    GeneratedText,
    OnText,
    ScoredToken,
    StreamResult,
)
from services.generate.backends.unix_http import UnixHttpClient
from services.generate.sampling import Sampling
from services.runtime.errors import InternalFailure, InvalidInput, SensoriumError
from services.runtime.models import resolve
from services.runtime.private_folder import private_folder
from services.runtime.settings import Settings

BATCH_TOKENS = 64
"""Most tokens of one forward pass: what a long prompt may delay the other slots by."""
_RANDOM_SEED = 0xFFFFFFFF
_LOG_ERRORS_ONLY = 1


def load(reference: str, settings: Settings) -> "LlamaCpp":
    """Prove, join and load a GGUF model of the offline kit. Raises as load_model."""
    return LlamaCpp(
        reference,
        resolve(reference, settings.cache_dir).path,
        slot_count=settings.generate_slots,
        window_tokens=settings.context_window_tokens,
        threads=settings.cpu_threads,
    )


class LlamaCpp:
    """A GGUF model with ``slot_count`` slots of ``window_tokens`` each."""

    def __init__(
        self, reference: str, path: Path, *, slot_count: int, window_tokens: int, threads: int
    ) -> None:
        """Load the model (2 to 3 s). Raises InternalFailure MODEL_LOAD_FAILED."""
        import xllamacpp

        self.reference = reference
        self.slot_count = slot_count
        self.window_tokens = window_tokens
        self._private = contextlib.ExitStack()
        self._folder = self._private.enter_context(private_folder())
        socket_path = self._folder / "server.sock"

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.hostnames = [str(socket_path)]
        params.ui = False
        params.n_parallel = slot_count
        params.n_ctx = slot_count * window_tokens
        params.n_batch = BATCH_TOKENS
        params.n_ubatch = BATCH_TOKENS
        # Prompts stay cached in the slots; a second cache in RAM (8 GiB by default) buys nothing.
        params.cache_ram_mib = 0
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.verbosity = _LOG_ERRORS_ONLY
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            self._private.close()
            raise InternalFailure(
                "MODEL_LOAD_FAILED", "The language model could not be loaded."
            ) from error
        self._http = UnixHttpClient(socket_path)

    def tokenize(self, texts: Sequence[str], *, special: bool, start: bool = False) -> list[int]:
        """See LanguageModel."""
        body = {"content": list(texts), "parse_special": special, "add_special": start}
        tokens: list[int] = self._http.post("/tokenize", body)["tokens"]
        return tokens

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """See LanguageModel."""
        body = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
        try:
            prompt: str = self._http.post("/apply-template", body)["prompt"]
        except RuntimeError as error:
            raise InvalidInput(
                "MESSAGES_REFUSED",
                "The model's chat template does not take these roles in this order.",
                subject="config.messages",
            ) from error
        return prompt

    def prefill(self, slot: int, tokens: Sequence[int]) -> None:
        """See LanguageModel."""
        # The server evaluates the prompt and samples one token, which it does not evaluate.
        reader = _PayloadReader(lambda _: False)
        self._complete(slot, tokens, {"n_predict": 0, "temperature": 0.0}, reader)

    def stream(
        self, slot: int, tokens: Sequence[int], sampling: Sampling, on_text: OnText
    ) -> StreamResult:
        """See LanguageModel."""
        reader = _PayloadReader(on_text)
        self._complete(slot, tokens, _sampling_fields(sampling), reader)
        return StreamResult(reader.token_count, reader.finish_reason == "length")

    def busy_slot_count(self) -> int:
        """See LanguageModel."""
        return sum(bool(slot["is_processing"]) for slot in self._http.get("/slots"))

    def close(self) -> None:
        """See LanguageModel."""
        del self._server
        self._private.close()

    def _complete(
        self, slot: int, tokens: Sequence[int], fields: dict[str, Any], reader: "_PayloadReader"
    ) -> None:
        request = {
            "prompt": list(tokens),
            "id_slot": slot,
            "cache_prompt": True,
            "stream": True,
            # Calls back before and after each batch of the prompt, so that a cancel is seen there.
            "return_progress": True,
            "timings_per_token": True,
            **fields,
        }
        self._server.handle_completions(request, reader)
        if reader.stopped:
            self._wait_until_idle(slot)
        reader.raise_failure()

    def _wait_until_idle(self, slot: int) -> None:
        """A cancel is only queued when the request returns; the batch under way goes on.

        The server answers between two batches, so this takes one or two of them.
        """
        while any(
            state["id"] == slot and state["is_processing"] for state in self._http.get("/slots")
        ):
            pass


def _sampling_fields(sampling: Sampling) -> dict[str, Any]:
    """The server's names. Its own defaults (top_k 40, min_p 0.05) are switched off."""
    seed = _RANDOM_SEED if sampling.seed is None else min(sampling.seed, _RANDOM_SEED - 1)
    fields: dict[str, Any] = {
        "n_predict": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "seed": seed,
        "stop": list(sampling.stop),
    }
    if sampling.logprobs:
        fields["logprobs"] = sampling.logprobs
    return fields


class _PayloadReader:
    """Reads the server's payloads. Called by it in the thread of the request.

    The server swallows what a callback raises, so a failure is kept, the
    request is stopped, and ``raise_failure`` raises it afterwards.
    """

    def __init__(self, on_text: OnText) -> None:
        self._on_text = on_text
        self._failure: BaseException | None = None
        self.token_count = 0
        self.finish_reason: str | None = None
        self.stopped = False

    def __call__(self, payload: dict[str, Any]) -> bool:
        try:
            self.stopped = self._read(payload)
        except BaseException as error:  # noqa: BLE001
            self._failure = error
            self.stopped = True
        return self.stopped

    def raise_failure(self) -> None:
        if isinstance(self._failure, SensoriumError):
            raise self._failure
        if self._failure is not None:
            raise InternalFailure("MODEL_FAILED", "The language model failed.") from self._failure

    def _read(self, payload: dict[str, Any]) -> bool:
        if "error" in payload:
            raise RuntimeError(f"llama.cpp: {payload['error']}")
        choice = payload["choices"][0]
        self.finish_reason = choice["finish_reason"] or self.finish_reason
        token_count = int(payload.get("timings", {}).get("predicted_n", self.token_count))
        new_tokens = max(0, token_count - self.token_count)
        self.token_count = max(token_count, self.token_count)
        scored = (choice["logprobs"] or {}).get("content", [])
        return self._on_text(
            GeneratedText(
                text=choice["text"],
                token_count=new_tokens,
                logprobs=tuple(_scored(token) for token in scored),
                alternatives=tuple(_scored(top) for top in scored[-1]["top_logprobs"])
                if scored
                else (),
            )
        )


def _scored(token: dict[str, Any]) -> ScoredToken:
    return ScoredToken(bytes(token["bytes"]).decode(errors="replace"), float(token["logprob"]))
