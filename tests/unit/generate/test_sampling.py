from typing import Any

import pytest

from services.generate.sampling import Sampling
from services.runtime.errors import InvalidInput


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_tokens", 0),
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("stop", ("x",) * 9),
        ("stop", ("",)),
        ("stop", ("x" * 257,)),
        ("logprobs", 21),
    ],
)
def test_an_option_out_of_range_is_named(option: str, value: object) -> None:
    options: dict[str, Any] = {"max_tokens": 1, option: value}
    with pytest.raises(InvalidInput) as refused:
        Sampling(**options)
    assert refused.value.subject == f"config.sampling.{option}"


def test_the_extremes_are_allowed() -> None:
    Sampling(max_tokens=1, temperature=2.0, top_p=1.0, stop=("x",) * 8, logprobs=20)
