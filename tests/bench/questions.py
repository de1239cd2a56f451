"""Questions with known answers over media with known content."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.known_media import Scene, film, jpeg, page, picture
from tests.media import sound_file
from tests.voices import spoken

CANNOT_TELL = (
    r"cannot tell|can't tell|can not tell|not (?:mention|provide|tell|say|contain|specif|given)"
    r"|does not|do not|don't|doesn't|no information|unknown|unable"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A question, what it must rest on and what it must say.

    ``evidence`` is the name of the asset and a pattern of the words observed in it; None where
    the media does not tell. ``span_s`` is when. ``answer`` is a pattern too.
    """

    kind: str
    media: tuple[str, ...]
    question: str
    answer: str
    evidence: tuple[str, str] | None
    span_s: tuple[float, float] | None = None


_RECEIPT = """GREEN LEAF GROCERY
14 Mill Lane, Norwich
Date: 12 March 2025

Apples          3.20
Bread           2.75
Olive oil       8.90

TOTAL          14.85
Paid by card"""
_CARD = """Dr. Helen Marsh
Veterinary Surgeon
Riverside Animal Clinic
Phone 555 0182
helen@riverside.example"""
_POSTER = """JAZZ IN THE PARK
Saturday 19 July
Gates open at 18:30
Tickets 25 euros
Bring your own blanket"""
_TIMETABLE = """DEPARTURES
07:15  Oxford    platform 2
08:40  Bristol   platform 5
09:05  Cardiff   platform 1"""
_NOTES = """The greenhouse is watered every Monday and Thursday by Tomas.

The spare key of the shed hangs behind the blue door in the kitchen.

Rosa planted forty tulips along the southern wall last October.

The old pump was replaced in 2019 because it lost pressure."""
_VOICEMAIL = (
    "Hello, this is the dental practice. Your appointment was moved to Tuesday at four o'clock. "
    "Please bring your insurance card. If you cannot come, call us before Friday."
)
_WEATHER = (
    "Here is the weather for tomorrow. In the north there will be heavy snow. "
    "The south stays dry and sunny. Strong winds are expected on the coast."
)
_RECIPE = (
    "First, boil the potatoes for twenty minutes. Then fry the onions in butter. "
    "After that, add the cream and the cheese. At the end, sprinkle parsley on top."
)
TOUR = (
    Scene(5, page="WELCOME\nto the museum", said="Welcome to the museum of small wonders."),
    Scene(5, picture="chelsea.png", said="Our oldest visitor sleeps here every afternoon."),
    Scene(5, picture="coffee.png", said="In the kitchen we serve hot drinks all day."),
    Scene(5, page="ROCKET\nbuilt in 2021", said="The engine was built by a team of students."),
    Scene(5, page="GOODBYE\ncome back soon", said="Thank you for walking with us."),
)
LECTURE = (
    Scene(6, page="ROME\nfounded 753 BC", said="We begin with a city on seven hills."),
    Scene(6, page="ATHENS\nfirst democracy", said="Citizens voted with pieces of pottery."),
    Scene(6, page="CAIRO\ncity of the Nile", said="Every summer the river flooded the fields."),
    Scene(6, page="LIMA\nCity of Kings", said="The Spanish governor built a palace there."),
)


def _sound(text: str) -> bytes:
    return sound_file(spoken(text), "ogg", "libopus")


def _picture(name: str) -> bytes:
    return jpeg(picture(name))


MEDIA: Mapping[str, Callable[[], bytes]] = {
    "cat.jpg": lambda: _picture("chelsea.png"),
    "cup.jpg": lambda: _picture("coffee.png"),
    "launch.jpg": lambda: _picture("rocket.jpg"),
    "garage.jpg": lambda: _picture("motorcycle_left.png"),
    "receipt.jpg": lambda: jpeg(page(_RECEIPT)),
    "card.jpg": lambda: jpeg(page(_CARD, (1000, 600))),
    "poster.jpg": lambda: jpeg(page(_POSTER)),
    "timetable.jpg": lambda: jpeg(page(_TIMETABLE, (1000, 500))),
    "notes.txt": _NOTES.encode,
    "voicemail.ogg": lambda: _sound(_VOICEMAIL),
    "weather.ogg": lambda: _sound(_WEATHER),
    "recipe.ogg": lambda: _sound(_RECIPE),
    "tour.mp4": lambda: film(TOUR),
    "lecture.mp4": lambda: film(LECTURE),
}
"""Each made when it is asked about."""
SPOKEN = frozenset(name for name in MEDIA if name.endswith((".ogg", ".mp4")))
"""Needs espeak-ng."""


def _of(kind: str, media: str, *pairs: tuple[str, str, str]) -> list[Pair]:
    """Pairs over one asset: question, words of the evidence, words of the answer."""
    return [
        Pair(kind, (media,), question, answer, (media, words)) for question, words, answer in pairs
    ]


def _timed(kind: str, media: str, *pairs: tuple[str, str, str, tuple[float, float]]) -> list[Pair]:
    return [
        Pair(kind, (media,), question, answer, (media, words), span)
        for question, words, answer, span in pairs
    ]


def _which(question: str, media: tuple[str, ...], right: str, answer: str) -> Pair:
    """Whatever was observed in the right picture will do."""
    return Pair("several pictures", media, question, answer, (right, ""))


def _untold(media: str, *questions: str) -> list[Pair]:
    return [Pair("cannot tell", (media,), question, CANNOT_TELL, None) for question in questions]


_COFFEE = "espresso|coffee|cup"
PICTURES = ("cat.jpg", "cup.jpg", "launch.jpg")
PAIRS: tuple[Pair, ...] = (
    *_of(
        "picture",
        "cat.jpg",
        ("What animal is this?", "cat", "cat"),
        ("What is in the picture?", "cat", "cat"),
        ("Is there an animal in the photo?", "cat", r"\byes\b|cat"),
    ),
    *_of(
        "picture",
        "cup.jpg",
        ("What drink is this?", "espresso|coffee", "espresso|coffee"),
        ("What is shown here?", _COFFEE, _COFFEE),
    ),
    *_of(
        "picture",
        "launch.jpg",
        ("What is in the photo?", "missile|rocket|spacecraft", "missile|rocket|space"),
    ),
    *_of(
        "picture",
        "garage.jpg",
        ("What is this a picture of?", "vehicle|moped|motor", "vehicle|moped|motor"),
        ("Is there a vehicle in the picture?", "vehicle|moped|motor", r"\byes\b|vehicle|moped"),
    ),
    _which("Which of these has a cat?", PICTURES, "cat.jpg", "cat"),
    _which("Which of these shows a drink?", PICTURES, "cup.jpg", "cup"),
    _which("Which picture shows a vehicle?", (*PICTURES[:2], "garage.jpg"), "garage.jpg", "garage"),
    _which("Which of the pictures shows an animal?", PICTURES, "cat.jpg", "cat"),
    _which("Which one is a receipt?", ("cat.jpg", "receipt.jpg"), "receipt.jpg", "receipt"),
    _which("Which of these mentions jazz?", ("poster.jpg", "card.jpg"), "poster.jpg", "poster"),
    _which(
        "Which of these has a phone number written on it?", ("poster.jpg", "card.jpg"),
        "card.jpg", "card",
    ),
    _which(
        "In which picture is text about trains to Bristol?", ("timetable.jpg", "cup.jpg"),
        "timetable.jpg", "timetable",
    ),
    *_of(
        "reading",
        "receipt.jpg",
        ("What is the total on the receipt?", "TOTAL", r"14\.85"),
        ("What is the name of the shop on the receipt?", "GREEN", "Green Leaf"),
        ("What is the price of the bread?", "Bread", r"2\.75"),
        ("What date is on the receipt?", "Date", "12 March"),
        ("How does the receipt say it was paid?", "Paid", "card"),
    ),
    *_of(
        "reading",
        "card.jpg",
        ("What is the phone number on the card?", "Phone", "555 ?0182"),
        ("What is the name written on the card?", "Helen", "Helen Marsh"),
        ("What is the email address?", "helen@", "helen@riverside"),
    ),
    *_of(
        "reading",
        "poster.jpg",
        ("What is the title of the poster?", "JAZZ", "jazz in the park"),
        ("What is the price of a ticket?", "Tickets", "25"),
        ("At which date is it, as written on the poster?", "July", "19 July"),
        ("Read the line about the gates. What time do they open?", "Gates", "18:30"),
    ),
    *_of(
        "reading",
        "timetable.jpg",
        ("From which platform does the text say the train to Bristol leaves?", "Bristol", r"\b5\b"),
        ("At what time is the train to Cardiff, as the page says?", "Cardiff", "0?9:05"),
    ),
    *_of(
        "document",
        "notes.txt",
        ("Who waters the greenhouse?", "Tomas", "Tomas"),
        ("Where is the spare key?", "spare key", "blue door|kitchen"),
        ("How many tulips did Rosa plant?", "tulips", "forty|40"),
        ("Why was the pump replaced?", "pump", "pressure"),
        ("In which year was the pump replaced?", "pump", "2019"),
    ),
    *_of(
        "speech",
        "voicemail.ogg",
        ("What day is the appointment?", "Tuesday", "Tuesday"),
        ("What must be brought along?", "insurance", "insurance"),
        ("Who is calling?", "dental", "dental"),
    ),
    *_of(
        "speech",
        "weather.ogg",
        ("What is the weather in the north?", "snow", "snow"),
        ("Where will it be sunny?", "sunny", "south"),
        ("What is expected on the coast?", "coast", "wind"),
    ),
    *_of(
        "speech",
        "recipe.ogg",
        ("How long do the potatoes boil?", "potatoes", "twenty|20"),
        ("What are the onions fried in?", "onions", "butter"),
    ),
    *_timed(
        "order of time",
        "tour.mp4",
        ("What is shown first?", "WELCOME", "welcome", (0, 5)),
        ("What is shown at the end?", "GOODBYE", "goodbye|come back", (20, 25)),
        ("When does the cat appear?", "cat|animal", r"0:0[4-9]|\b[5-9]\b|0:10", (5, 10)),
        ("What is shown right after the cat?", _COFFEE, _COFFEE, (10, 15)),
        ("What is shown before the rocket?", _COFFEE, _COFFEE, (10, 15)),
        ("What is the first thing that is said?", "Welcome", "welcome|museum", (0, 5)),
        ("What is said last?", "Thank you", "thank|walking", (20, 25)),
    ),
    *_timed(
        "order of time",
        "lecture.mp4",
        ("When is the river mentioned?", "river", r"0:1[1-8]|\b1[2-8]\b", (12, 18)),
        ("What is written on the screen after Athens?", "CAIRO", "cairo", (12, 18)),
        ("What is said right before the river is mentioned?", "pottery", "vote|pottery", (6, 12)),
    ),
    *_timed(
        "alignment",
        "tour.mp4",
        ("What is on screen while the kitchen is mentioned?", _COFFEE,
         _COFFEE, (10, 15)),
        ("What is on screen when the speaker says \"the engine was built\"?", "rocket",
         "rocket", (15, 20)),
        ("What is said when the cat appears?", "visitor", "visitor|afternoon", (5, 10)),
        ("What is said while the rocket is shown?", "engine", "engine|students", (15, 20)),
    ),
    *_timed(
        "alignment",
        "lecture.mp4",
        ("What is written on screen while the pottery is mentioned?", "ATHENS", "athens", (6, 12)),
        ("Which city is shown while the palace is mentioned?", "LIMA", "lima", (18, 24)),
        ("What is said while Rome is on the screen?", "seven hills", "hills", (0, 6)),
        ("What is said when CAIRO is shown?", "river", "river|flood", (12, 18)),
    ),
    *_untold("receipt.jpg", "What is the name of the cashier on the receipt?"),
    *_untold("notes.txt", "What is the name of the neighbour's dog?", "How tall is the fence?"),
    *_untold("voicemail.ogg", "What colour is the building?"),
    *_untold("cat.jpg", "What is the capital of the country where this was taken?"),
    *_untold("weather.ogg", "Who won the football match?"),
)  # fmt: skip


def matches(pattern: str, text: str) -> bool:
    """Whether the words stand in a text, whatever their case."""
    return re.search(pattern, text, re.IGNORECASE) is not None
