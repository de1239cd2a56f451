"""When each stage worked, counted from a turn's first message."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class TurnClock:
    """Marks of one turn, in seconds since its first message."""

    started: float = field(default_factory=time.monotonic)
    last_byte_s: float | None = None
    first_token_s: float | None = None
    last_token_s: float | None = None
    stages: dict[str, tuple[float, float]] = field(default_factory=dict)
    segments_before_last_byte: int = 0

    def now_s(self) -> float:
        """Seconds since the first message."""
        return time.monotonic() - self.started

    def stage(self, name: str) -> None:
        """A stage did something just now."""
        now = self.now_s()
        first, _ = self.stages.get(name, (now, now))
        self.stages[name] = (first, now)

    def last_byte(self) -> None:
        """The client's input for the turn is complete."""
        self.last_byte_s = self.now_s()

    def token(self) -> None:
        """A token came."""
        self.last_token_s = self.now_s()
        if self.first_token_s is None:
            self.first_token_s = self.last_token_s

    def segment_encoded(self) -> None:
        """A segment is encoded."""
        if self.last_byte_s is None:
            self.segments_before_last_byte += 1
