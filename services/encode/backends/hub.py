"""Texts and pictures to scores of unwanted content: classifiers of a hub, by transformers.

Weights are read from safetensors only, and no code of a model is run. How good a
model is, and which labels mean what, is for whoever chooses it to know.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.backends.pictures import decode
from services.runtime.errors import InvalidInput
from services.runtime.hub import HubModel, resolve_hub
from services.runtime.models import ModelRef

WINDOW_TOKENS_MAX = 512
_OVERLAP_TOKENS = 32

Tokens = list[list[int]]
Scores = NDArray[np.float32]


class _LabelScores:
    """The logits of a model to scores of categories, as its configuration means them.

    Labels that exclude each other (softmax) add up within a category; of labels that
    do not (sigmoid) the highest counts.
    """

    def __init__(self, config: Any, labels: Mapping[str, str], ref: str) -> None:
        known = {str(name): index for index, name in config.id2label.items()}
        if unknown := sorted(labels.keys() - known.keys()):
            raise InvalidInput(
                "MODEL_LABEL_UNKNOWN",
                f"The model's labels are {', '.join(sorted(known))}, not {unknown[0]}.",
                subject=ref,
            )
        self.categories = sorted(set(labels.values()))
        self._columns = [
            [known[label] for label, category in labels.items() if category == wanted]
            for wanted in self.categories
        ]
        self._independent = (
            config.num_labels == 1 or config.problem_type == "multi_label_classification"
        )

    def of(self, logits: torch.Tensor) -> Scores:
        """Scores of shape (items, categories)."""
        values = logits.float()
        values = values.sigmoid() if self._independent else values.softmax(dim=-1)
        of_labels: Scores = values.numpy()
        combined = np.max if self._independent else np.sum
        return np.stack(
            [combined(of_labels[:, columns], axis=1) for columns in self._columns], axis=1
        )

    def by_name(self, scores: Scores) -> dict[str, float]:
        """The scores of one item by category."""
        return dict(zip(self.categories, scores.tolist(), strict=True))


class HubTextClassifier:
    """A text to a score, 0 to 1, for each category: the highest of its windows of tokens."""

    def __init__(self, model: HubModel, labels: Mapping[str, str]) -> None:
        self._network = _network(AutoModelForSequenceClassification, model)
        self._tokenizer = _tokenizer(model)
        config = self._network.config
        self._window_tokens = min(
            WINDOW_TOKENS_MAX,
            self._tokenizer.model_max_length,
            getattr(config, "max_position_embeddings", WINDOW_TOKENS_MAX),
        )
        self._labels = _LabelScores(config, labels, model.ref)
        self._description = _description(model, labels)

    @classmethod
    def load(cls, ref: str, options: LoadOptions, labels: Mapping[str, str]) -> "HubTextClassifier":
        """Loads the model. ``labels`` are those that count, with their categories. Blocks.

        Raises InvalidInput MODEL_UNREADABLE or MODEL_LABEL_UNKNOWN, and what ``resolve_hub`` does.
        """
        torch.set_num_threads(options.cpu_threads)
        return cls(resolve_hub(ModelRef.parse(ref)), labels)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: str) -> Tokens:
        """The tokens of a text, in windows that overlap."""
        windows: Tokens = self._tokenizer(
            raw,
            truncation=True,
            max_length=self._window_tokens,
            stride=min(_OVERLAP_TOKENS, self._window_tokens // 4),
            return_overflowing_tokens=True,
        )["input_ids"]
        return windows

    def forward(self, batch: Sequence[Tokens]) -> list[Scores]:
        """The scores of each window, of shape (windows, categories)."""
        windows = [window for tokens in batch for window in tokens]
        padded = self._tokenizer.pad({"input_ids": windows}, return_tensors="pt")
        with torch.inference_mode():
            scores = self._labels.of(self._network(**padded).logits)
        ends = np.cumsum([len(tokens) for tokens in batch])
        return np.split(scores, ends[:-1])

    def finish(self, output: Scores) -> dict[str, float]:
        """The highest score of each category."""
        return self._labels.by_name(output.max(axis=0))


class HubPictureClassifier:
    """A PNG or JPEG file (bytes) to a score, 0 to 1, for each category."""

    def __init__(self, model: HubModel, labels: Mapping[str, str]) -> None:
        self._network = _network(AutoModelForImageClassification, model)
        self._processor = _load(AutoImageProcessor, model, "its image processor")
        self._labels = _LabelScores(self._network.config, labels, model.ref)
        self._description = _description(model, labels)

    @classmethod
    def load(
        cls, ref: str, options: LoadOptions, labels: Mapping[str, str]
    ) -> "HubPictureClassifier":
        """As ``HubTextClassifier.load``. Blocks."""
        torch.set_num_threads(options.cpu_threads)
        return cls(resolve_hub(ModelRef.parse(ref)), labels)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: bytes) -> torch.Tensor:
        """Decodes a picture to the pixels that the model was trained on.

        Raises:
            InvalidInput: IMAGE_UNDECODABLE.
            LimitExceeded: IMAGE_TOO_LARGE.
        """
        pixels: torch.Tensor = self._processor(images=decode(raw), return_tensors="pt")[
            "pixel_values"
        ][0]
        return pixels

    def forward(self, batch: Sequence[torch.Tensor]) -> list[Scores]:
        """The scores of each picture, of shape (categories,)."""
        with torch.inference_mode():
            logits = self._network(pixel_values=torch.stack(list(batch))).logits
        return list(self._labels.of(logits))

    def finish(self, output: Scores) -> dict[str, float]:
        """The scores by category."""
        return self._labels.by_name(output)


def _network(kind: Any, model: HubModel) -> Any:
    """The network with all its weights. Raises InvalidInput MODEL_UNREADABLE."""
    network, loading = _load(
        kind, model, "it from safetensors", use_safetensors=True, output_loading_info=True
    )
    if missing := sorted(loading["missing_keys"]):
        # Those would be random: it was trained for something else.
        raise _unreadable(model, f"the weights {missing[0]} are not in its file")
    return network.eval()


def _tokenizer(model: HubModel) -> Any:
    """Raises InvalidInput MODEL_UNREADABLE."""
    tokenizer = _load(AutoTokenizer, model, "its tokenizer")
    # Where the files of one are missing, transformers makes one that knows no word.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise _unreadable(model, "it has no vocabulary")
    if tokenizer.pad_token is None:
        raise _unreadable(model, "its tokenizer has no token for padding")
    return tokenizer


def _load(kind: Any, model: HubModel, part: str, **options: Any) -> Any:
    try:
        # Left open, it would ask on the terminal whether to run the model's code.
        return kind.from_pretrained(
            model.folder, local_files_only=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _unreadable(model, f"transformers cannot load {part}") from error


def _unreadable(model: HubModel, problem: str) -> InvalidInput:
    return InvalidInput(
        "MODEL_UNREADABLE",
        f"A model of a hub is no classifier that can be used: {problem}.",
        subject=model.ref,
    )


def _description(model: HubModel, labels: Mapping[str, str]) -> ModelDescription:
    # Scores depend on what the labels are taken for, too.
    meaning = f"{model.sha256} {json.dumps(labels, sort_keys=True)}"
    digest = hashlib.sha256(meaning.encode()).hexdigest()
    return ModelDescription(model.ref, "torch-f32", digest)
