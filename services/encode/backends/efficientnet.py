"""Pictures to class probabilities and features: EfficientNet-Lite2 on ImageNet-1k by OpenVINO.

Tan and Le, EfficientNet, 2019; the Lite variants are Liu's, 2020.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from PIL import Image

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.backends.conversion import compile_for_cpu, converted
from services.encode.backends.pictures import decode
from services.encode.captioned import PictureSeen, softmax
from services.runtime.models import ResolvedModel, resolve

SIDE_PX = 260
_MEAN, _SCALE = 0.498, 0.502
_BATCH_SIZES = (4, 2, 1)
# Up to this ratio of sides a centre crop would show what the padded view shows.
_SQUARE_RATIO_MAX = 1.15

Pixels = NDArray[np.float32]


class EfficientNetLite:
    """A PNG or JPEG file (bytes) to 1000 probabilities and 1280 features."""

    def __init__(self, model: ResolvedModel, options: LoadOptions) -> None:
        path = converted(
            options.cache_dir,
            "efficientnet-lite2-r2",
            model.sha256,
            lambda: convert("efficientnet-lite2", model.path, SIDE_PX),
        )
        # bf16 agrees on the best class in only 79 of 100 pictures.
        self._request = compile_for_cpu(path, "f32", options.cpu_threads).create_infer_request()
        self._description = ModelDescription(model.ref, "openvino-f32", model.sha256)
        for size in _BATCH_SIZES:
            self._look(np.zeros((size, 3, SIDE_PX, SIDE_PX), np.float32))

    @classmethod
    def load(cls, ref: str, options: LoadOptions) -> "EfficientNetLite":
        """Resolves and loads the model; converts it at the first start. Blocks."""
        return cls(resolve(ref, options.cache_dir), options)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: bytes) -> Pixels:
        """Decodes a picture into its views, float32 of shape (views, 3, 260, 260).

        The whole picture padded to a square and, unless it is nearly square, its
        centre: the one misses nothing, the other shows more detail.

        Raises:
            InvalidInput: IMAGE_UNDECODABLE.
            LimitExceeded: IMAGE_TOO_LARGE.
        """
        picture = decode(raw, SIDE_PX)
        views = [_padded(picture)]
        if max(picture.size) > _SQUARE_RATIO_MAX * min(picture.size):
            views.append(_centre(picture))
        return np.stack([_normalised(view) for view in views])

    def forward(self, batch: Sequence[Pixels]) -> list[PictureSeen]:
        """What is seen in each picture, the mean over its views."""
        views = np.concatenate(batch)
        shares: list[Pixels] = []
        features: list[Pixels] = []
        start = 0
        for size in _BATCH_SIZES:
            while len(views) - start >= size:
                more = self._look(views[start : start + size])
                shares.extend(more[0])
                features.extend(more[1])
                start += size
        results: list[PictureSeen] = []
        start = 0
        for pixels in batch:
            own = slice(start, start + len(pixels))
            results.append(
                PictureSeen(np.mean(shares[own], axis=0), np.mean(features[own], axis=0))
            )
            start += len(pixels)
        return results

    def finish(self, output: PictureSeen) -> PictureSeen:
        """What was seen, as it is."""
        return output

    def _look(self, views: Pixels) -> tuple[Pixels, Pixels]:
        """Probabilities and features of each view."""
        self._request.infer({0: np.ascontiguousarray(views)}, share_inputs=True)
        logits = np.array(self._request.get_output_tensor(0).data)
        features = np.array(self._request.get_output_tensor(1).data)
        return softmax(logits, 1.0), features


def _padded(picture: Image.Image) -> Image.Image:
    side = max(picture.size)
    square = Image.new("RGB", (side, side), "white")
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)


def _centre(picture: Image.Image) -> Image.Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC, box=box)


def _normalised(view: Image.Image) -> Pixels:
    pixels = (np.asarray(view, np.float32) / 255 - _MEAN) / _SCALE
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def convert(name: str, weights: Path, side_px: int) -> ov.Model:
    """A network of the family, such as "efficientnet-lite2", for pictures of shape
    (n, 3, side_px, side_px): its logits, and the pooled features that they come from."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    class Both(torch.nn.Module):
        """Logits and features."""

        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, pictures: Any) -> tuple[Any, Any]:
            features = self.network.extract_features(pictures).mean((2, 3))
            return self.network._fc(features), features

    network = EfficientNet.from_name(name)
    # A pickle from a stranger: weights only.
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    with torch.inference_mode():
        return ov.convert_model(
            Both(network).eval(),
            example_input=torch.zeros(1, 3, side_px, side_px),
            input=[([-1, 3, side_px, side_px])],
        )
