"""The platform's joint space of texts and pictures, and what is lost without each of its parts."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from services.encode.backends import registry
from services.encode.backends.contract import LoadOptions
from services.encode.captioned import CaptionedPictures, PictureSeen, load_captioned
from services.encode.engines import ModelChoice
from services.encode.projection import (
    CAPTION_COMMON_SHARE,
    CAPTION_WEIGHT,
    CLASS_COMMON_SHARE,
    KINDS_DIMENSION,
    LOOKS_DIMENSION,
    REGRESSION_WEIGHT,
    RIDGE,
    JointSpace,
    mean_vectors,
    ridge,
)
from services.runtime.settings import Settings
from tests.bench import wordnet
from tests.bench.learned import unit
from tests.bench.tries import Embed, Numbers, Try, Words


def joint_tries(words: Words, pictures: Sequence[Image.Image]) -> Iterator[Try]:
    """The platform's vectors, and what is lost without each of their parts."""
    captions = words.embed(words.captions)
    platform = [words.vocabulary.wordings(index) for index in range(1000)]
    classes = mean_vectors(platform, CLASS_COMMON_SHARE, words.embed)
    names = [[name] for name in words.vocabulary.names]
    of_names = mean_vectors(names, CLASS_COMMON_SHARE, words.embed)
    drawings = load_captioned()
    values = mean_vectors(drawings.wordings, CAPTION_COMMON_SHARE, words.embed)
    each_seen = _seen_by_the_platform(pictures)

    def joint(captioned: CaptionedPictures) -> tuple[JointSpace, Numbers, Numbers]:
        space = JointSpace(classes, of_names, captioned, values)
        of_pictures = np.stack([space.picture(seen) for seen in each_seen])
        return space, space.texts(captions), of_pictures

    space, texts, vectors = joint(drawings)
    yield Try("meaning, looks and kinds", texts @ vectors.T)
    yield from _parts(texts, vectors, captions.shape[1])
    for share, title in ((1.0, "not whitened"), (-1.0, "whitened in full")):
        _, changed_texts, changed = joint(_whitened(drawings, share))
        yield Try(f"meaning, looks and kinds, looks {title}", changed_texts @ changed.T)
    yield from _meanings(space, drawings, values, each_seen, captions, (texts, vectors))
    nouns, index = wordnet.load(), wordnet.load_index()
    if nouns and index:
        things = [wordnet.things(caption, nouns, index) for caption in words.captions]
        for weight in (0.3, 0.6):
            broader = _with_broader(captions, things, nouns, weight, words.embed)
            title = f"meaning, looks and kinds, captions with WordNet's broader words, {weight}"
            yield Try(title, space.texts(broader) @ vectors.T)


def _seen_by_the_platform(pictures: Sequence[Image.Image]) -> list[PictureSeen]:
    settings, choice = Settings(), ModelChoice()
    options = LoadOptions(settings.cache_dir, settings.cpu_threads)
    network = registry.CLASSIFIERS[choice.classifier](choice.classifier, options)
    return [network.forward([network.prepare(_png(picture))])[0] for picture in pictures]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _whitened(drawings: CaptionedPictures, share: float) -> CaptionedPictures:
    """The axes stretched by a share of what they were whitened by: 1 undoes it, -1 doubles it."""
    stretch = np.linalg.norm(drawings.axes, axis=0) ** -share
    return replace(drawings, keys=unit(drawings.keys * stretch), axes=drawings.axes * stretch)


def _parts(texts: Numbers, pictures: Numbers, meaning: int) -> Iterator[Try]:
    """Other weights of the looks and the kinds; ``meaning`` numbers come before them."""
    lengths = [meaning, LOOKS_DIMENSION, KINDS_DIMENSION]
    tries = {
        "meaning alone": (1.0, 0.0, 0.0),
        "looks alone": (0.0, 1.0, 0.0),
        "kinds alone": (0.0, 0.0, 1.0),
        "meaning and looks": (1.0, 1.0, 0.0),
        "meaning and kinds": (1.0, 0.0, 1.0),
    }
    for of_looks, of_kinds in ((0.8, 1.0), (1.2, 1.0), (1.0, 0.8), (1.0, 1.2)):
        title = f"meaning, looks times {of_looks}, kinds times {of_kinds}"
        tries[title] = (1.0, of_looks, of_kinds)
    for title, times in tries.items():
        scales = np.repeat(times, lengths).astype(np.float32)
        yield Try(title, unit(texts * scales) @ unit(pictures * scales).T)


def _meanings(
    space: JointSpace,
    drawings: CaptionedPictures,
    values: Numbers,
    each_seen: Sequence[PictureSeen],
    captions: Numbers,
    joint: tuple[Numbers, Numbers],
) -> Iterator[Try]:
    """Other mixtures of what the classes, the captions and a regression say, first alone, then
    in the platform's vectors, ``joint`` of texts and of pictures."""
    texts, vectors = joint
    looks = np.stack([drawings.looks(seen.features) for seen in each_seen])
    named = np.stack([space.named(seen.probabilities) for seen in each_seen])
    likened = unit(np.stack([drawings.resemblances(each) for each in looks]) @ values)
    learned = unit(looks @ ridge(drawings.keys, values - values.mean(axis=0), RIDGE))
    tries = {
        "classes": (1.0, 0.0, 0.0),
        "captions of the drawings likened to": (0.0, 1.0, 0.0),
        "regression": (0.0, 0.0, 1.0),
        "classes and captions": (1.0, CAPTION_WEIGHT, 0.0),
        "classes and regression": (1.0, 0.0, REGRESSION_WEIGHT),
        "captions times 2": (1.0, 2 * CAPTION_WEIGHT, REGRESSION_WEIGHT),
        "regression times 2": (1.0, CAPTION_WEIGHT, 2 * REGRESSION_WEIGHT),
    }
    width = captions.shape[1]
    lengths = np.linalg.norm(vectors[:, :width], axis=1, keepdims=True)
    for title, weights in tries.items():
        parts = (named, likened, learned)
        meaning = unit(np.sum([w * part for w, part in zip(weights, parts, strict=True)], axis=0))
        yield Try(f"meaning by {title}, alone", captions @ meaning.T)
        whole = np.concatenate([lengths * meaning, vectors[:, width:]], axis=1)
        yield Try(f"meaning by {title}, looks and kinds", texts @ whole.T)


def _with_broader(
    captions: Numbers,
    things: Sequence[Sequence[str]],
    nouns: dict[str, wordnet.Noun],
    weight: float,
    embed: Embed,
) -> Numbers:
    """Vectors of captions, to which those of what their things are kinds of are added."""
    broader = captions.copy()
    for row, offsets in enumerate(things):
        texts = [word for offset in offsets for word in wordnet.broader(nouns, offset, 1)]
        if texts:
            broader[row] += weight * unit(embed(texts).mean(axis=0))
    return unit(broader)
