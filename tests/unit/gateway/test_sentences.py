"""Holding back: by the sentence, bounded, and without a change to the text."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.sentences import HELD_CHARACTERS_MAX, Sentences

pieces = st.lists(st.text("ab .!?\n\"'3", max_size=60) | st.text(max_size=20), max_size=40)


def split(*texts: str) -> list[str]:
    held = Sentences()
    return [*(over for text in texts for over in held.add(text)), held.rest()]


def test_a_sentence_comes_when_something_follows_its_mark() -> None:
    held = Sentences()
    assert held.add("It is 3") == []
    assert held.add(".") == []
    assert held.add("5 m. ") == ["It is 3.5 m. "]
    assert held.add('"Really?" Yes.\nNo') == ['"Really?" ', "Yes.\n"]
    assert held.rest() == "No"


def test_a_long_sentence_is_cut_between_words() -> None:
    text = "word " * 100
    over = split(text)
    assert max(map(len, over)) <= HELD_CHARACTERS_MAX
    assert all(piece.endswith("word ") for piece in over if piece)


@given(pieces)
def test_what_comes_out_is_what_went_in(texts: list[str]) -> None:
    held = Sentences()
    entered = released = ""
    for text in texts:
        entered += text
        for over in held.add(text):
            assert 0 < len(over) <= HELD_CHARACTERS_MAX
            released += over
        assert entered.startswith(released)
        assert len(entered) - len(released) < HELD_CHARACTERS_MAX
    assert released + held.rest() == entered
