"""The markers by which an answer names its evidence, such as ``[2]`` or ``[1, 3]``."""

import re
from collections.abc import Collection

_KEY = r"\d{1,4}"
_KEYS = rf"{_KEY}(?: ?, ?{_KEY}){{0,7}}"
MARKER = re.compile(rf"\[({_KEYS})\]")
_PARTS = re.compile(rf"`+|\n| ?{MARKER.pattern}")
# What may yet become one of these, or more of one, with the next piece of text.
_OPEN = re.compile(rf"(?:`+| ?\[(?:{_KEYS}(?: ?,? ?))?| )\Z")
_FENCE = 3
"""Backticks that begin a block of code."""


def keys_of(marker: str) -> list[str]:
    """The keys that a marker names, in its order."""
    return re.findall(_KEY, marker)


class Markers:
    """Takes markers that name nothing that was given out of a text that comes in pieces.

    Nobody could tell them from a citation. Of several keys those that were given stay. What
    stands in backticks is code, where a number in brackets is something else. Held back is no
    more than may still become a marker, with the blank before it.
    """

    def __init__(self, given: Collection[str]) -> None:
        self._given = given
        self._held = ""
        self._code = 0
        """So many backticks began the code that this is in."""

    def add(self, text: str) -> str:
        """Take a piece of text; what of it, and of those before, is to be shown now."""
        text = self._held + text
        held = _OPEN.search(text)
        self._held = held.group() if held else ""
        return _PARTS.sub(self._shown, text.removesuffix(self._held))

    def rest(self) -> str:
        """What is still held, at the end of the text."""
        held, self._held = self._held, ""
        return held

    def _shown(self, part: re.Match[str]) -> str:
        found = part.group()
        if found.startswith("`"):
            if not self._code:
                self._code = len(found)
            elif self._code == len(found):
                self._code = 0
            return found
        if found == "\n":
            # Code in a line ends with it: a single backtick may be no more than that.
            if self._code < _FENCE:
                self._code = 0
            return found
        if self._code:
            return found
        keys = keys_of(found)
        given = [key for key in keys if key in self._given]
        if given == keys:
            return found
        blank = " " if found.startswith(" ") else ""
        return f"{blank}[{', '.join(given)}]" if given else ""
