"""What a turn knows of the turns before it: what was said, what was perceived, what was read."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sensorium.fuse.v1 import fuse_pb2
from sensorium.generate.v1 import generate_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.ledger import AssetEntry

HISTORY_CHARACTERS_MAX = 4000
"""What the language model is told of earlier turns: about 1,300 tokens."""
THREADS_MAX = 256
OBSERVATIONS_MAX = 50_000
"""Of all threads together, about 2 KB each."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer, and the lines of context that the model read before them.

    What a client tells as said before may be less, or more, than one message of each.
    """

    messages: tuple[generate_pb2.Message, ...]
    parts: tuple[fuse_pb2.ContextPart, ...] = ()

    @classmethod
    def of(
        cls, question: str, answer: str, parts: Iterable[fuse_pb2.ContextPart] = ()
    ) -> "Exchange":
        """A turn."""
        messages = (
            generate_pb2.Message(role=generate_pb2.ROLE_USER, content=question),
            generate_pb2.Message(role=generate_pb2.ROLE_ASSISTANT, content=answer),
        )
        return cls(messages, tuple(parts))

    @property
    def length(self) -> int:
        """Characters of what was said."""
        return sum(len(message.content) for message in self.messages)


@dataclass(frozen=True, slots=True)
class Memory:
    """What a turn starts from."""

    exchanges: tuple[Exchange, ...] = ()
    entries: tuple[AssetEntry, ...] = ()
    """Assets as they were perceived."""
    assets: tuple[media_pb2.Asset, ...] = ()
    """Assets that only the store and the index know."""
    ahead: tuple[fuse_pb2.ContextPart, ...] = ()
    """Lines of context that the model has read since, for the next question."""

    def messages(self) -> Iterator[generate_pb2.Message]:
        """The exchanges as the language model is told them."""
        for exchange in self.exchanges:
            first, *others = exchange.messages
            yield generate_pb2.Message(
                role=first.role,
                content=first.content,
                context_lines=[part.text for part in exchange.parts],
            )
            yield from others

    def parts(self) -> Iterator[fuse_pb2.ContextPart]:
        """The lines of context that the model read with earlier questions, each once."""
        known: set[str] = set()
        for exchange in self.exchanges:
            for part in exchange.parts:
                if part.citation_key not in known:
                    known.add(part.citation_key)
                    yield part


@dataclass(slots=True)
class Thread:
    """What a process has at hand of one conversation."""

    exchanges: list[Exchange] = field(default_factory=list)
    entries: dict[str, AssetEntry] = field(default_factory=dict)
    turn_count: int = 0
    ahead: list[fuse_pb2.ContextPart] = field(default_factory=list)

    @property
    def observation_count(self) -> int:
        """A measure of what it holds in memory."""
        return sum(
            len(entry.observations) + len(entry.embeddings) for entry in self.entries.values()
        )

    def memory(self) -> Memory:
        """What a turn starts from that finds all assets at hand."""
        entries = tuple(self.entries.values())
        return Memory(recent(self.exchanges), entries, ahead=tuple(self.ahead))

    def add(self, exchange: Exchange, entries: Iterable[AssetEntry], *, afresh: bool) -> None:
        """A turn was answered; ``afresh`` tells that the model no longer has the lines that it
        read before. Those that were read ahead were read with it."""
        if afresh:
            self.exchanges = [Exchange(each.messages) for each in self.exchanges]
        self.exchanges.append(exchange)
        self.turn_count += 1
        self.ahead.clear()
        for entry in entries:
            self.entries[entry.info.asset_id] = entry


class Threads:
    """The threads last used, bounded in number and in what they hold together."""

    def __init__(self) -> None:
        self._threads: OrderedDict[tuple[str, str], Thread] = OrderedDict()

    def get(self, tenant_id: str, conversation_id: str) -> Thread:
        """The thread of a conversation; an empty one where there is none at hand."""
        return self._threads.get((tenant_id, conversation_id)) or Thread()

    def put(self, tenant_id: str, conversation_id: str, thread: Thread) -> None:
        """Keep a thread, now the last used, and let go of those that are too many."""
        key = (tenant_id, conversation_id)
        self._threads[key] = thread
        self._threads.move_to_end(key)
        count = sum(each.observation_count for each in self._threads.values())
        while len(self._threads) > THREADS_MAX or (
            count > OBSERVATIONS_MAX and len(self._threads) > 1
        ):
            _, oldest = self._threads.popitem(last=False)
            count -= oldest.observation_count

    def forget(self, tenant_id: str, conversation_id: str) -> None:
        """A conversation is gone."""
        self._threads.pop((tenant_id, conversation_id), None)

    def forget_asset(self, tenant_id: str, asset_id: str) -> None:
        """An asset is gone."""
        for (tenant, _), thread in self._threads.items():
            if tenant == tenant_id:
                thread.entries.pop(asset_id, None)


def recent(exchanges: Sequence[Exchange]) -> tuple[Exchange, ...]:
    """The last exchanges that fit, whole, in order.

    Where there are too many, half of them go at once: were it one with each turn, the model
    would have to read all the others again each time.
    """
    start, characters = 0, 0
    for index, each in enumerate(exchanges):
        characters += each.length
        if characters > HISTORY_CHARACTERS_MAX:
            while start <= index and characters > HISTORY_CHARACTERS_MAX // 2:
                characters -= exchanges[start].length
                start += 1
    return tuple(exchanges[start:])
