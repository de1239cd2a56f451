"""The text engine by itself: the same back end called directly, in batches of 64.

By as many threads as it takes, which is the most that it can do.
"""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.encode.backends.contract import LoadOptions
from services.encode.backends.registry import TEXT_EMBEDDERS
from services.encode.engines import ModelChoice
from services.runtime.settings import load_settings
from tests.bench.sentences import sentences
from tests.bench.workers import Answer, answer_lines

BATCH_SIZE = 64


def main() -> Answer:
    """Load the model as the encode service does."""
    settings = load_settings()
    ref = ModelChoice().text
    model = TEXT_EMBEDDERS[ref](ref, LoadOptions(settings.cache_dir, settings.cpu_threads))
    threads = ThreadPoolExecutor(settings.cpu_threads)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        texts = list(itertools.islice(sentences(request["seed"]), request["count"]))
        starts = range(0, len(texts), BATCH_SIZE)
        started = time.perf_counter()
        list(threads.map(lambda start: model.forward(texts[start : start + BATCH_SIZE]), starts))
        return {"seconds": time.perf_counter() - started}

    return answer


if __name__ == "__main__":
    answer_lines(main)
