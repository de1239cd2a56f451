"""Pictures of a kind of thing are found by the word for it, whatever their class is called."""

import numpy as np
import pytest

from services.encode.engines import Engines


@pytest.mark.parametrize("word", ["dog", "cat", "car", "boat", "clothing", "food"])
async def test_pictures_of_a_kind_come_before_all_others(engines: Engines, word: str) -> None:
    query = await engines.text.run(word)
    sure_of_each = np.eye(len(engines.vocabulary.names), dtype=np.float32)
    pictures = np.stack([engines.class_space.project(sure) for sure in sure_of_each])
    is_one = np.array([word in words for words in engines.vocabulary.broader])
    best = np.argsort(-(pictures @ query))[: is_one.sum()]
    others = [engines.vocabulary.names[index] for index in best if not is_one[index]]
    assert others == []
