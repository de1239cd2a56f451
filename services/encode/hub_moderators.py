"""Which classifiers of a hub an operator adds to those of the kit, and what their labels mean."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ConfigDict, field_validator
from pydantic.dataclasses import dataclass

from services.runtime.errors import InvalidInput
from services.runtime.json_files import read_json_file
from services.runtime.models import ModelRef
from services.runtime.moderation import CATEGORIES, PICTURE_CATEGORIES, TEXT_CATEGORIES

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class HubModerator:
    """A classifier of a hub, ``hf:<repo>@<revision>``, and the category that each of its labels
    stands for; labels that are not named do not count. It looks at texts or at pictures, as its
    categories do."""

    model: str
    labels: Mapping[str, str]

    @field_validator("model")
    @classmethod
    def _of_a_hub(cls, model: str) -> str:
        try:
            scheme = ModelRef.parse(model).scheme
        except InvalidInput as error:
            raise ValueError(error.message) from None
        if scheme != "hf":
            raise ValueError("only models of a hub can be added, as hf:<repo>@<revision>")
        return model

    @field_validator("labels")
    @classmethod
    def _of_one_kind(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        for category in labels.values():
            if category not in CATEGORIES:
                raise ValueError(f"{category} is none of {', '.join(CATEGORIES)}")
        categories = set(labels.values())
        if not labels or not any(map(categories.issubset, (TEXT_CATEGORIES, PICTURE_CATEGORIES))):
            raise ValueError("a model has categories of text or categories of pictures")
        return labels

    @property
    def categories(self) -> frozenset[str]:
        """What it scores."""
        return frozenset(self.labels.values())

    @property
    def sees(self) -> bool:
        """Whether it looks at pictures."""
        return self.categories.issubset(PICTURE_CATEGORIES)


@dataclass(frozen=True, slots=True, config=_STRICT)
class HubModerators:
    """The classifiers of a hub that are added; each scores its categories in place of the kit's."""

    models: tuple[HubModerator, ...] = ()

    @field_validator("models")
    @classmethod
    def _one_for_each_category(cls, models: tuple[HubModerator, ...]) -> tuple[HubModerator, ...]:
        scored: set[str] = set()
        for model in models:
            if twice := scored & model.categories:
                raise ValueError(f"two models score {min(twice)}")
            scored |= model.categories
        return models

    @property
    def categories(self) -> frozenset[str]:
        """What they score."""
        return frozenset().union(*(each.categories for each in self.models))


def load_hub_moderators(path: Path | None) -> HubModerators:
    """The classifiers of a JSON file; without one there are only those of the kit.

    Raises:
        InvalidInput: MODERATION_MODELS_FILE_INVALID, naming the field.
    """
    if path is None:
        return HubModerators()
    return read_json_file(HubModerators, path, "moderation_models_file")
