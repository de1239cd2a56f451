"""What is estimated that a request costs."""

from pathlib import Path

from pydantic import ConfigDict, NonNegativeFloat
from pydantic.dataclasses import dataclass

from services.runtime.account import Usage
from services.runtime.json_files import read_json_file

_MILLION = 1e6
_GIB = 1 << 30


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Prices:
    """Prices in one currency; what is not named is free."""

    currency: str = ""
    request: NonNegativeFloat = 0.0
    """Of a call, whatever comes of it."""
    million_prompt_tokens: NonNegativeFloat = 0.0
    """Of a million tokens that had to be read."""
    million_cached_tokens: NonNegativeFloat = 0.0
    """Of a million tokens of prompts that were in the model's cache."""
    million_completion_tokens: NonNegativeFloat = 0.0
    media_minute: NonNegativeFloat = 0.0
    """Of a minute of sound or video."""
    gib: NonNegativeFloat = 0.0
    """Of 2**30 bytes of media that came in."""

    def cost_micros(self, used: Usage) -> int:
        """What a request costs, in millionths of the currency."""
        read = used.prompt_token_count - used.cached_token_count
        cost = (
            self.request
            + self.million_prompt_tokens * read / _MILLION
            + self.million_cached_tokens * used.cached_token_count / _MILLION
            + self.million_completion_tokens * used.completion_token_count / _MILLION
            + self.media_minute * used.media_s / 60
            + self.gib * used.media_bytes / _GIB
        )
        return round(cost * _MILLION)


def load_prices(path: Path | None) -> Prices:
    """The prices of a JSON file; without one all is free.

    Raises:
        InvalidInput: PRICES_FILE_INVALID, naming the field.
    """
    return Prices() if path is None else read_json_file(Prices, path, "prices_file")
