"""How tokens are chosen, and what of that is allowed."""

import math
from dataclasses import dataclass

from services.runtime.errors import InvalidInput

TEMPERATURE_MAX = 2.0
STOP_STRINGS_MAX = 8
STOP_CHARACTERS_MAX = 256
LOGPROBS_MAX = 20


@dataclass(frozen=True, slots=True)
class Sampling:
    """Options of one generation; ``temperature`` 0 is greedy, ``seed`` None is random.

    ``logprobs`` is the number of alternatives reported with each token.
    """

    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int = 0

    def __post_init__(self) -> None:
        """Raises InvalidInput OUT_OF_RANGE with the option's field as its subject."""
        if self.max_tokens < 1:
            raise _out_of_range("max_tokens", "max_tokens must be at least 1.")
        if not 0 <= self.temperature <= TEMPERATURE_MAX or math.isnan(self.temperature):
            raise _out_of_range("temperature", "temperature must be between 0 and 2.")
        if not 0 < self.top_p <= 1 or math.isnan(self.top_p):
            raise _out_of_range("top_p", "top_p must be above 0 and at most 1.")
        if len(self.stop) > STOP_STRINGS_MAX:
            raise _out_of_range("stop", f"At most {STOP_STRINGS_MAX} stop strings are allowed.")
        if any(not 0 < len(stop) <= STOP_CHARACTERS_MAX for stop in self.stop):
            raise _out_of_range("stop", f"A stop string has 1 to {STOP_CHARACTERS_MAX} characters.")
        if not 0 <= self.logprobs <= LOGPROBS_MAX:
            raise _out_of_range("logprobs", f"logprobs must be at most {LOGPROBS_MAX}.")


def _out_of_range(option: str, message: str) -> InvalidInput:
    return InvalidInput("OUT_OF_RANGE", message, subject=f"config.sampling.{option}")
