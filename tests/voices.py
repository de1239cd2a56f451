"""Speech for tests and benchmarks: files as samples, and texts in the voices of espeak-ng."""

import io
import subprocess
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from tests.media import SAMPLE_RATE_HZ

Samples = npt.NDArray[np.int16]


def samples_of(file: Path | io.BytesIO) -> Samples:
    """The sound of a file, 16 kHz mono, shape (n,)."""
    resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
    with av.open(str(file) if isinstance(file, Path) else file, "r") as container:
        pieces = [
            part.to_ndarray()[0].astype(np.int16)
            for frame in [*container.decode(audio=0), None]
            for part in resampler.resample(frame)
        ]
    return np.concatenate(pieces)


def spoken(text: str, voice: str = "en-us", words_a_minute: int = 145) -> Samples:
    """The text in a voice of espeak-ng, 16 kHz mono, shape (n,)."""
    command = ["espeak-ng", "-v", voice, "-s", str(words_a_minute), "-g", "4", "--stdout", text]
    sound = subprocess.run(command, check=True, capture_output=True).stdout
    return samples_of(io.BytesIO(sound))
