"""Times of a video or a recording as questions name them: "1:30", "20 seconds", "minute 2".

What is said to be a time of day ("am", "pm", "o'clock") is none of them.
"""

import re

_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_NUMBERS |= {"nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20}
_NUMBERS |= {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60}
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}

# "A second" is another one, too.
NUMBER = rf"(?:\d{{1,4}}(?:\.\d{{1,3}})?|\b(?:{'|'.join(_NUMBERS)}|a(?= (?:minute|hour)\b))\b)"
# "5 m" is a height; "1m30s" is a time.
UNIT = r"(?:(?:hours?|hrs?|h(?=\s?\d)|minutes?|mins?|m(?=\s?\d)|seconds?|secs?|s)(?![a-z]))"
LENGTH = rf"(?:{NUMBER}[ -]?{UNIT}(?:,? ?(?:and )?{NUMBER}[ -]?{UNIT}){{0,2}})"
_CLOCK = r"\d{1,3}:[0-5]\d(?::[0-5]\d)?(?:\.\d{1,3})?"
_OF_THE_DAY = r"(?:[ap]\.?\s?m\b|o.?clock|h\b|hours?\b|hrs\b)"
TIME = (
    rf"(?:(?:{_CLOCK}(?!\s?{_OF_THE_DAY})|(?:minute|second) {NUMBER}|{LENGTH})"
    r"(?![\d:]|\.\d| (?:before|after)\b))"
)
"""As patterns, for FLAGS. A TIME that something else is before or after is a distance."""

FLAGS = re.IGNORECASE | re.ASCII
"""Without ASCII, a long s would match as an s does, and digits of any script."""

_PART = re.compile(rf"({NUMBER})?[ -]?({UNIT})|({NUMBER})", FLAGS)


def is_clock(words: str) -> bool:
    """Whether a TIME is written as clocks write it, so that it may be a time of day."""
    return ":" in words


def seconds_of(words: str, unit: str = "s") -> float:
    """The seconds that a TIME, a LENGTH, a UNIT or a NUMBER, which is in ``unit``, names."""
    if is_clock(words):
        total = 0.0
        for digits in words.split(":"):
            total = 60 * total + float(digits)
        return total
    named = re.fullmatch(rf"(minute|second) ({NUMBER})", words, FLAGS)
    if named:
        return _number(named[2]) * _SECONDS[named[1][0].lower()]
    return sum(
        _number(part[1] or part[3] or "a") * _SECONDS[(part[2] or unit)[0].lower()]
        for part in _PART.finditer(words)
    )


def unit_of(words: str) -> str:
    """The last unit that a TIME names."""
    units = re.findall(UNIT, words, FLAGS)
    return units[-1] if units else "s"


def _number(word: str) -> float:
    return 1.0 if word.lower() == "a" else float(_NUMBERS.get(word.lower(), word))
