"""What is kept of conversations, as the gateway's code sees it."""

from dataclasses import dataclass

NAME_CHARACTERS_MAX = 200
_MADE_NAME_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    """A conversation without its turns; times in microseconds since 1970."""

    conversation_id: str
    name: str
    create_time_us: int
    update_time_us: int
    turn_count: int


@dataclass(frozen=True, slots=True)
class OfAsset:
    """A citation or a piece of evidence, serialised, and the asset that it goes with."""

    asset_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn that was answered; times in microseconds since 1970."""

    question: str
    answer: str
    asset_ids: tuple[str, ...]
    citations: tuple[OfAsset, ...]
    finish_reason: int
    create_time_us: int
    complete_time_us: int
    evidence: tuple[OfAsset, ...] = ()
    """What the answer was weighed from, in the order of the timeline."""
    details: bytes = b""
    """A serialised gateway.v1.ConversationTurn with what nothing else here tells; it is of no
    asset."""
    number: int = 0
    """Its place, counted from 1; 0 until it is stored."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the next turn of a conversation starts from."""

    turn_count: int
    exchanges: tuple[tuple[str, str], ...]
    """Questions and answers of the last turns, in order."""
    asset_ids: tuple[str, ...]
    """Its assets, those of the last turns last."""


def made_name(question: str) -> str:
    """The name of a conversation that begins with a question: its first words."""
    words = " ".join(question.split())
    if len(words) <= _MADE_NAME_CHARACTERS:
        return words
    cut = words.rfind(" ", 0, _MADE_NAME_CHARACTERS)
    return words[: cut if cut > 0 else _MADE_NAME_CHARACTERS - 1] + "…"
