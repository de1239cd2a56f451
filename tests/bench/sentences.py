"""Sentences to embed: ordinary words, never the same twice, so that no cache knows them."""

import random
from collections.abc import Iterator

_WHO = ("the old sailor", "a young teacher", "my neighbour", "the museum guide", "a tired nurse")
_DOES = ("repairs", "paints", "remembers", "photographs", "sells", "describes", "carries")
_WHAT = ("a wooden boat", "the broken clock", "an early map", "two red lanterns", "the tall tower")
_WHERE = ("beside the river", "in the market", "behind the school", "near the harbour", "at home")
_WHEN = ("every summer", "on a rainy day", "before sunrise", "after the long meeting", "today")


def sentences(seed: int) -> Iterator[str]:
    """Without end; about 16 to 20 tokens each."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        words = (chance.choice(part) for part in (_WHO, _DOES, _WHAT, _WHERE, _WHEN))
        yield f"{' '.join(words)}, note {seed}-{number}."
