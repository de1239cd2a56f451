"""xllamacpp by itself: the same model, prompts and sampling, no services around it."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import xllamacpp

from services.generate.prompt import DEFAULT_SYSTEM
from services.runtime.models import resolve
from services.runtime.settings import load_settings
from tests.bench.workers import Answer, answer_lines


def main() -> Answer:
    """Load the model with the engine's own defaults, but for threads, slots and window."""
    settings = load_settings()
    params = xllamacpp.CommonParams()
    params.model.path = str(resolve(settings.language_model, settings.cache_dir).path)
    params.n_parallel = settings.generate_slots
    params.n_ctx = settings.generate_slots * settings.context_window_tokens
    params.cpuparams.n_threads = settings.cpu_threads
    params.cpuparams_batch.n_threads = settings.cpu_threads
    params.verbosity = 1
    server = xllamacpp.Server(params)
    threads = ThreadPoolExecutor(settings.generate_slots)

    def complete(question: str, max_tokens: int) -> int:
        token_count = 0

        def on_payload(payload: Any) -> bool:
            nonlocal token_count
            for part in payload if isinstance(payload, list) else [payload]:
                if "error" in part:
                    raise RuntimeError(str(part["error"]))
                token_count = int(part.get("timings", {}).get("predicted_n", token_count))
            return False

        request = {
            "messages": [
                {"role": "system", "content": DEFAULT_SYSTEM},
                {"role": "user", "content": question},
            ],
            "stream": True,
            "timings_per_token": True,
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
        }
        server.handle_chat_completions(request, on_payload)
        return token_count

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        jobs = [
            threads.submit(complete, question, request["max_tokens"])
            for question in request["questions"]
        ]
        token_count = sum(job.result() for job in jobs)
        return {"token_count": token_count, "seconds": time.perf_counter() - started}

    return answer


if __name__ == "__main__":
    answer_lines(main)
