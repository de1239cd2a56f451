"""Text that comes in pieces, given on by the sentence."""

import re

HELD_CHARACTERS_MAX = 200
"""So much is held back of a sentence that does not end."""

# A sentence is over when something follows its mark: "3." may become "3.5".
_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s+|\n\s*")


class Sentences:
    """Holds text back until its sentence is over. What comes out is, joined, what went in."""

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> list[str]:
        """Take a piece of text; the sentences that are over with it, blanks after them included."""
        self._held += text
        over: list[str] = []
        while length := self._length():
            over.append(self._held[:length])
            self._held = self._held[length:]
        return over

    def rest(self) -> str:
        """What is still held, at the end of the text."""
        held, self._held = self._held, ""
        return held

    def _length(self) -> int:
        """The length of the first sentence that is over, 0 if there is none."""
        end = _END.search(self._held)
        if end and end.end() <= HELD_CHARACTERS_MAX:
            # More blanks may follow, but they say nothing.
            return end.end()
        if len(self._held) < HELD_CHARACTERS_MAX:
            return 0
        # Between words, so that none is judged by half.
        blank = self._held.rfind(" ", 0, HELD_CHARACTERS_MAX)
        return blank + 1 or HELD_CHARACTERS_MAX
