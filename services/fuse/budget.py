"""Cuts a context to a budget of tokens without losing the order of time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# What the language model has read already costs nothing more. The lines that
# were sent are kept unless the free choice would hold this much more attention.
KEPT_PREFIX_SHARE = 0.9
# What earlier turns left in the prompt may take this much together with what is new, or
# the budget where that is more; then the context begins anew.
KEPT_TOKENS_MAX = 768


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that may be part of the context."""

    asset_id: str
    token_count: int
    weight: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Which candidates are in the context, in their order."""

    indices: tuple[int, ...]
    prefix_kept: bool


def estimate_tokens(text: str) -> int:
    """Estimates conservatively: three bytes of UTF-8 a token. For English that is
    three characters; a Chinese or Japanese character counts as a whole token."""
    return -(-len(text.encode()) // 3)


def extend(
    candidates: Sequence[Candidate], had: frozenset[int], token_budget: int
) -> Selection | None:
    """Adds to what the language model has read, ``had``, what another question needs.

    Only so much that both hold: the best line of every asset that a free choice within the
    budget would hold is there, and ``KEPT_PREFIX_SHARE`` of its weight. None where that
    takes too many tokens: then the context is better chosen anew.
    """
    everything = range(len(candidates))
    fits = sum(candidate.token_count for candidate in candidates) <= token_budget
    free = set(everything) if fits else _fill(candidates, (), token_budget)
    best = [index for index in _best_of_each_asset(candidates) if index in free]
    chosen = had | set(best)
    wanted = KEPT_PREFIX_SHARE * _weight(candidates, free)
    for index in _by_weight(candidates):
        if _weight(candidates, chosen) >= wanted:
            break
        chosen |= {index} & free
    tokens = sum(candidates[index].token_count for index in chosen)
    if tokens > max(token_budget, KEPT_TOKENS_MAX):
        return None
    return Selection(tuple(sorted(chosen)), True)


def select(candidates: Sequence[Candidate], sent_count: int, token_budget: int) -> Selection:
    """Selects candidates within the budget; the first ``sent_count`` were sent.

    All, where all fit. Else two choices are compared, both greedy by weight and
    both taking the best line of each asset first: one begins with the lines
    that were sent, the other is free. The first wins where it too holds the
    best line of every asset that the free one holds, and ``KEPT_PREFIX_SHARE``
    of its weight.
    """
    everything = range(len(candidates))
    if sum(candidate.token_count for candidate in candidates) <= token_budget:
        return Selection(tuple(everything), True)
    free = _fill(candidates, (), token_budget)
    if not sent_count:
        return Selection(tuple(sorted(free)), True)
    kept = _fill(candidates, range(sent_count), token_budget)
    best = set(_best_of_each_asset(candidates)) & free
    if best <= kept and _weight(candidates, kept) >= KEPT_PREFIX_SHARE * _weight(candidates, free):
        return Selection(tuple(sorted(kept)), True)
    return Selection(tuple(sorted(free)), free >= set(range(sent_count)))


def _fill(candidates: Sequence[Candidate], start: Iterable[int], token_budget: int) -> set[int]:
    chosen = set(start)
    left = token_budget - sum(candidates[index].token_count for index in chosen)
    by_weight = _by_weight(candidates)
    covered = {candidates[index].asset_id for index in chosen}
    first: list[int] = []
    for index in by_weight:
        candidate = candidates[index]
        if candidate.asset_id not in covered and candidate.token_count <= left:
            covered.add(candidate.asset_id)
            first.append(index)
            left -= candidate.token_count
    chosen.update(first)
    for index in by_weight:
        if index not in chosen and candidates[index].token_count <= left:
            chosen.add(index)
            left -= candidates[index].token_count
    return chosen


def _best_of_each_asset(candidates: Sequence[Candidate]) -> list[int]:
    best: dict[str, int] = {}
    for index in _by_weight(candidates):
        best.setdefault(candidates[index].asset_id, index)
    return list(best.values())


def _by_weight(candidates: Sequence[Candidate]) -> list[int]:
    return sorted(range(len(candidates)), key=lambda index: (-candidates[index].weight, index))


def _weight(candidates: Sequence[Candidate], chosen: Iterable[int]) -> float:
    return sum(candidates[index].weight for index in chosen)
