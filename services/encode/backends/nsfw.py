"""Pictures to a score of sexual content: Yahoo's open_nsfw (2016), a ResNet-50, by OpenVINO.

Its authors publish no error rates. They advise to treat below 0.2 as safe and above
0.8 as not; it knows photographs of people better than drawings. Nothing else, such as
violence, is looked for.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.encode.backends.contract import LoadOptions, ModelDescription
from services.encode.backends.conversion import compile_for_cpu
from services.encode.backends.pictures import decode
from services.runtime.models import ResolvedModel, resolve

_RESIZED_PX, _SIDE_PX = 256, 224
_MEAN_BGR = np.array([104, 117, 123], np.float32)

Pixels = NDArray[np.float32]


class OpenNsfw:
    """A PNG or JPEG file (bytes) to its score, 0 to 1, as the category "sexual"."""

    def __init__(self, model: ResolvedModel, options: LoadOptions) -> None:
        compiled = compile_for_cpu(model.path, "f32", options.cpu_threads)
        self._request = compiled.create_infer_request()
        self._description = ModelDescription(model.ref, "openvino-f32", model.sha256)

    @classmethod
    def load(cls, ref: str, options: LoadOptions) -> "OpenNsfw":
        """Resolves and loads the model. Blocks."""
        return cls(resolve(ref, options.cache_dir), options)

    @property
    def description(self) -> ModelDescription:
        """What runs."""
        return self._description

    def prepare(self, raw: bytes) -> Pixels:
        """Decodes a picture to float32 of shape (224, 224, 3), blue first, as in training: squeezed
        to a square, its border cut off, and saved as JPEG once.

        Raises:
            InvalidInput: IMAGE_UNDECODABLE.
            LimitExceeded: IMAGE_TOO_LARGE.
        """
        border = (_RESIZED_PX - _SIDE_PX) // 2
        end = border + _SIDE_PX
        square = decode(raw, _RESIZED_PX).resize(
            (_RESIZED_PX, _RESIZED_PX), Image.Resampling.BILINEAR
        )
        saved = io.BytesIO()
        square.crop((border, border, end, end)).save(saved, format="JPEG")
        pixels = np.asarray(Image.open(saved), np.float32)[:, :, ::-1]
        return np.ascontiguousarray(pixels - _MEAN_BGR)

    def forward(self, batch: Sequence[Pixels]) -> list[float]:
        """The score of each picture."""
        self._request.infer({0: np.stack(batch)}, share_inputs=True)
        scores: list[float] = self._request.get_output_tensor(0).data[:, 1].tolist()
        return scores

    def finish(self, output: float) -> dict[str, float]:
        """The score by its category."""
        return {"sexual": output}
