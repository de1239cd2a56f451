"""The samples are what they are said to be."""

from pathlib import Path

import av
from PIL import Image
from sensorium_client.media import recorded_duration_s
from sensorium_client.samples import lay_out


def test_samples_are_a_photo_a_recording_and_a_film_with_sound(tmp_path: Path) -> None:
    samples = lay_out(tmp_path / "samples")
    with Image.open(samples.photo) as photo:
        assert (photo.format, photo.size) == ("JPEG", (451, 300))
    with av.open(str(samples.film)) as film:
        assert {stream.type for stream in film.streams} == {"video", "audio"}
    recorded_s = recorded_duration_s(samples.recording)
    assert recorded_s is not None
    assert 10 < recorded_s < 12
    assert recorded_duration_s(samples.photo) is None
    assert lay_out(tmp_path / "samples") == samples
