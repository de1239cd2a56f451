"""Vectors as they travel: little-endian float32 bytes."""

from collections.abc import Sequence

import numpy as np
from sensorium.media.v1 import media_pb2

from services.runtime.errors import InvalidInput


def mean_embedding(embeddings: Sequence[media_pb2.Embedding]) -> media_pb2.Embedding:
    """The mean direction of vectors of one space. Raises InvalidInput when there are none."""
    if not embeddings:
        raise InvalidInput(
            "ASSET_NOT_INDEXED", "The asset has nothing in the index.", subject="asset_id"
        )
    matrix = np.stack([np.frombuffer(each.data, dtype="<f4") for each in embeddings])
    mean = matrix.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean)) or 1.0
    first = embeddings[0]
    return media_pb2.Embedding(
        space=first.space,
        dtype=first.dtype,
        dimension=first.dimension,
        data=(mean / length).astype("<f4").tobytes(),
    )
