"""Transcripts as files that players and editors read: SubRip and WebVTT."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

# What is usual on television: two lines of 42 characters, for at most seven seconds.
LINE_CHARACTERS = 42
LINES = 2
CUE_S = 7.0
CUE_S_MIN = 0.2
"""A cue without length is never shown."""


class Word(Protocol):
    """A word and when it is said, in seconds from the start."""

    @property
    def text(self) -> str: ...
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


class Span(Protocol):
    """A stretch of time, in seconds from the start."""

    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


class Transcript(Protocol):
    """Something that was said; without word times where none were asked for."""

    @property
    def text(self) -> str: ...
    @property
    def span(self) -> Span: ...
    @property
    def words(self) -> Sequence[Word]: ...


@dataclass(frozen=True)
class Cue:
    """Words that stand on the screen together, in seconds from the start."""

    start_s: float
    end_s: float
    text: str


def cues(transcripts: Iterable[Transcript]) -> list[Cue]:
    """The words in order, in pieces that can be read; they never overlap.

    A sentence with the times of its words is divided where it is too long to read.
    """
    pieces = [cue for transcript in transcripts for cue in _pieces(transcript)]
    placed: list[Cue] = []
    for index, cue in enumerate(pieces):
        start_s = max(cue.start_s, placed[-1].end_s if placed else 0.0)
        next_s = pieces[index + 1].start_s if index + 1 < len(pieces) else cue.end_s
        end_s = max(start_s + CUE_S_MIN, min(cue.end_s, max(next_s, start_s)))
        placed.append(Cue(start_s, end_s, cue.text))
    return placed


def srt(transcripts: Iterable[Transcript]) -> str:
    """A SubRip file."""
    blocks = [
        f"{number}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{_wrapped(cue.text)}\n"
        for number, cue in enumerate(cues(transcripts), 1)
    ]
    return "\n".join(blocks)


def vtt(transcripts: Iterable[Transcript]) -> str:
    """A WebVTT file (W3C, 2019)."""
    blocks = [
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{_escaped(_wrapped(cue.text))}\n"
        for cue in cues(transcripts)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def _pieces(transcript: Transcript) -> Iterator[Cue]:
    text, span = transcript.text.strip(), transcript.span
    short = _fits(text) and span.end_s - span.start_s <= CUE_S
    if short or not transcript.words:
        yield Cue(span.start_s, span.end_s, text)
        return
    separator = " " if " " in text else ""
    held: list[Word] = []
    for word in transcript.words:
        text = separator.join(each.text for each in (*held, word))
        if held and (not _fits(text) or word.end_s - held[0].start_s > CUE_S):
            yield _cue(held, separator)
            held = []
        held.append(word)
    if held:
        yield _cue(held, separator)


def _cue(words: Sequence[Word], separator: str) -> Cue:
    return Cue(words[0].start_s, words[-1].end_s, separator.join(word.text for word in words))


def _fits(text: str) -> bool:
    return len(textwrap.wrap(text, LINE_CHARACTERS)) <= LINES


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, LINE_CHARACTERS)) or text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(time_s: float, point: str) -> str:
    """ "00:01:02,500" for 62.5 and a comma."""
    milliseconds = round(time_s * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"
