"""What a question asks of the order of time: "what is on screen while X is said".

A few forms of English questions are understood; any other question is weighed
without regard to time, as if it had no such form. The relations are those of
Allen (1983), "Maintaining Knowledge about Temporal Intervals", as far as people
ask for them. What a question names is a thing, or a time of the media: "at 1:30".
"""

import re
from dataclasses import dataclass
from enum import Enum

from services.gateway.times import FLAGS, LENGTH, NUMBER, TIME, UNIT, is_clock, seconds_of, unit_of

QUESTION_CHARACTERS_MAX = 400
"""A question about time is a sentence or two; searching more for one would hold up all others."""


class Relation(Enum):
    """How the wanted evidence lies to what the question names."""

    AT = "at"
    DURING = "during"
    AFTER = "after"
    BEFORE = "before"
    FIRST = "first"
    LAST = "last"


class Track(Enum):
    """What is seen, what is heard, or either."""

    ANY = "any"
    SEEN = "seen"
    HEARD = "heard"


@dataclass(frozen=True, slots=True)
class TemporalQuestion:
    """``target`` in ``relation`` to ``anchor``, which is looked for in ``anchor_track``; or to
    ``span_s``, seconds of the media, those before its end where the relation is LAST. Then the
    anchor is all else that the question says, and AT is used where it may mean another time."""

    relation: Relation
    target: Track
    anchor: str = ""
    anchor_track: Track = Track.ANY
    span_s: tuple[float, float] | None = None


_HEARD = re.compile(
    r"\b(sa(?:y|ys|id|ying)|hear|hears|heard|sp(?:eak|eaks|oke|oken|eaking)|mention(?:s|ed)?"
    r"|talk(?:s|ed|ing)?|tell(?:s|ing)?|told|word|words|narrat\w+|voice|sentence)\b",
    re.IGNORECASE,
)
_SEEN = re.compile(
    r"\b(see|sees|seen|show|shows|shown|showing|appear(?:s|ed|ing)?|visible|screen|picture"
    r"|display(?:s|ed)?|written|look(?:s|ed)? like|image|slide|frame)\b",
    re.IGNORECASE,
)
_JOINTS = (
    (Relation.AFTER, re.compile(r"\b(?:right |just |directly |shortly )?after\b", re.IGNORECASE)),
    (Relation.AFTER, re.compile(r"\bfollow(?:s|ed|ing)?\b", re.IGNORECASE)),
    (Relation.BEFORE, re.compile(r"\b(?:right |just |shortly )?before\b", re.IGNORECASE)),
    (Relation.DURING, re.compile(r"\b(?:while|during|at the moment)\b", re.IGNORECASE)),
    (Relation.DURING, re.compile(r"(?<=\w )\b(?:when|as)\b", re.IGNORECASE)),
)
_WHEN = re.compile(
    r"^\W*(?:when|at (?:what|which) (?:time|second|minute|moment|point)|where in the \w+)\b"
    r"\s*(?:does|do|did|is|are|was|were|can|will)?\b(?P<anchor>.*)$",
    re.IGNORECASE,
)
_FIRST = re.compile(
    r"\b(?:first(?: of all)?|(?:at|in) the (?:very )?(?:beginning|start)"
    r"|(?:begins?|starts?) with)\W*$|^\W*what (?:is|was|are|were) the first\b",
    re.IGNORECASE,
)
_LAST = re.compile(
    r"\b(?:last(?: of all)?|(?:at|in) the (?:very )?end|ends? with)\W*$"
    r"|^\W*what (?:is|was|are|were) the last\b",
    re.IGNORECASE,
)
_LEAD = r"(?:(?:about|around|exactly|the|time(?:stamp|code)?) ){0,2}"
_TIMES = tuple(
    (relation, re.compile(pattern, FLAGS))
    for relation, pattern in (
        (
            Relation.DURING,
            rf"\b(?:between|from|at|in|during) {_LEAD}(?P<start>{TIME}|{NUMBER})"
            rf"(?: (?:and|to|until|till) | ?[-\u2013] ?){_LEAD}(?P<end>{TIME})",
        ),
        (Relation.AFTER, rf"\b(?:after|since|from) (?:the first )?{_LEAD}(?P<at>{TIME})"),
        (Relation.BEFORE, rf"\b(?:before|until|till|up to) {_LEAD}(?P<at>{TIME})"),
        (Relation.FIRST, rf"\bthe (?:very )?first (?P<end>{LENGTH}|{UNIT})(?! (?:before|after)\b)"),
        (
            Relation.LAST,
            rf"\bthe (?:very )?(?:last|final) (?P<end>{LENGTH}|{UNIT})(?! (?:before|after)\b)",
        ),
        (Relation.AT, rf"\b(?:at|around) {_LEAD}(?P<at>{TIME})(?: (?:mark|point)\b)?"),
        (Relation.DURING, rf"(?<![\w:.])(?P<at>{LENGTH}) (?:into\b|in\b(?! (?:the|an?)\b))"),
    )
)
_MOMENT_S = 1.0
"""People name times by the second."""
# Before a time it says that something of the media is meant: not "the meeting at 14:30".
_OF_THE_MEDIA = re.compile(
    r"\b(?:happen(?:s|ed|ing)?|going on|do|does|doing|video|film|movie|clip|recording|audio|sound"
    r"|there|it)\b",
    re.IGNORECASE,
)
# Beside a length of time it does: "the first 24 hours" are those of anything.
_PLAYS = re.compile(
    r"\b(?:see|sees|seen|show(?:s|n|ed|ing)?|appear(?:s|ed|ing)?|visible|screen|display(?:s|ed)?"
    r"|say|says|said|saying|hear|hears|heard|sp(?:eak|eaks|oke|oken|eaking)|talk(?:s|ed|ing)?"
    r"|mention(?:s|ed)?|narrat\w+|happen(?:s|ed|ing)?|going on|doing|what(?:'s| is| was) there"
    r"|(?:do|does|did) (?!i\b|we\b|you\b)[\w ]{1,40}\bdo"
    r"|video|film|movie|clip|recording|audio|sound|footage|scene)\b",
    re.IGNORECASE,
)
_LITTLE_ELSE = re.compile(
    r"\W*(?:(?:please|describe|summari[sz]e|transcribe|explain|tell|me|and|what|who|which|how|about"
    r"|is|was|it|in|of|from|for|during|the)\b\W*)*",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\b(?:what|which|who|whose|how|describe|name|list)\b", re.IGNORECASE)
# What stands around the thing that is meant.
_FRAMING = re.compile(
    r"\b(?:the (?:speaker|voice|narrator|word|words|sentence|text|title|moment)|speaker|narrator"
    r"|(?:some|any)(?:one|body|thing)|he|she|they|it|is|are|was|were|be|being|been|can|that|first"
    r"|on(?: the)? screen|in the (?:video|film|clip|recording|picture)|about|comes? up|there)\b",
    re.IGNORECASE,
)


def read_temporal(question: str) -> TemporalQuestion | None:
    """What the question asks of the order of time; None where it asks nothing of it."""
    question = question.strip()
    if len(question) > QUESTION_CHARACTERS_MAX:
        return None
    if when := _WHEN.match(question):
        anchor, track = _anchor(when["anchor"])
        return TemporalQuestion(Relation.AT, Track.ANY, anchor, track) if anchor else None
    if timed := _read_time(question):
        return timed
    if not _ASKS.search(question):
        return None
    for relation, joint in _JOINTS:
        if found := joint.search(question):
            anchor, track = _anchor(question[found.end() :])
            target = _track(question[: found.start()])
            if anchor and _ASKS.search(question[: found.start()]):
                if relation is Relation.DURING and track in (target, Track.ANY):
                    return None  # "what do you see when you look at this" asks nothing of time.
                return TemporalQuestion(relation, target, anchor, track)
    for relation, ending in ((Relation.FIRST, _FIRST), (Relation.LAST, _LAST)):
        if ending.search(question):
            return TemporalQuestion(relation, _track(question))
    return None


def _read_time(question: str) -> TemporalQuestion | None:
    for relation, form in _TIMES:
        found = form.search(question)
        if not found:
            continue
        moment = relation in (Relation.AT, Relation.DURING)
        span_s = _span_of(found.groupdict(), moment=moment)
        before, after = question[: found.start()], question[found.end() :]
        rest = " ".join(f"{before} {after}".split())
        by_clock = is_clock(found.group())
        if by_clock or relation in (Relation.AFTER, Relation.BEFORE):
            last_words = " ".join(before.split()[-2:])
            sure = not last_words or _track(last_words) is not Track.ANY
            sure = sure or bool(_OF_THE_MEDIA.search(last_words))
        else:
            sure = bool(_PLAYS.search(rest) or _LITTLE_ELSE.fullmatch(rest))
        if sure and relation in (Relation.AT, Relation.FIRST):
            relation = Relation.DURING
        elif not sure and relation is Relation.DURING and by_clock:
            relation = Relation.AT
        elif not sure and relation is not Relation.AT:
            continue
        return TemporalQuestion(relation, _track(rest), rest, span_s=span_s)
    return None


def _span_of(named: dict[str, str | None], *, moment: bool) -> tuple[float, float]:
    if at := named.get("at"):
        start = seconds_of(at)
        return start, start + (_MOMENT_S if moment else 0.0)
    end = named.get("end") or ""
    start, end_s = seconds_of(named.get("start") or "", unit_of(end)), seconds_of(end)
    return min(start, end_s), max(start, end_s)


def _track(words: str) -> Track:
    heard, seen = _HEARD.search(words), _SEEN.search(words)
    if bool(heard) == bool(seen):
        return Track.ANY
    return Track.HEARD if heard else Track.SEEN


def _anchor(clause: str) -> tuple[str, Track]:
    """The thing itself, and where it is to be looked for: of "the word harbour is said",
    "harbour" that is heard."""
    quoted = re.search(r"[\"“'‘](.{2,}?)[\"”'’](?=\W|$)", clause)
    track = _track(clause if quoted is None else clause.replace(quoted.group(), " "))
    if quoted:
        return quoted.group(1).strip(), track
    bare = _FRAMING.sub(" ", _SEEN.sub(" ", _HEARD.sub(" ", clause)))
    bare = re.sub(r"^\W*(?:the|a|an)\b", " ", bare, flags=re.IGNORECASE)
    return " ".join(re.sub(r"[^\w\s'-]", " ", bare).split()), track
