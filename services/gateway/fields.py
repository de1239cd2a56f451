"""Errors name fields: those of the client's request, not those of the calls made for it."""

import contextlib
from collections.abc import Iterator, Mapping

from services.runtime.errors import SensoriumError

_SAMPLING = ("max_tokens", "temperature", "top_p", "stop", "seed")

CONVERSE_FIELDS = {
    "start.question": "text",
    "config.model": "config.answer.model",
    "config.language": "config.perception.language",
    "config.frame_sampling.method": "config.perception.frame_sampling.method",
    "config.frame_sampling.frame_rate_hz": "config.perception.frame_sampling.frame_rate_hz",
    **{f"config.sampling.{name}": f"config.answer.{name}" for name in _SAMPLING},
}
ASK_FIELDS = {
    "text": "question",
    "start.question": "question",
    "config.model": "answer.model",
    "config.answer.instructions": "answer.instructions",
    **{f"config.sampling.{name}": f"answer.{name}" for name in _SAMPLING},
}
SEARCH_FIELDS = {
    f"query.{name}": name
    for name in ("text", "asset_ids", "tags", "metadata", "parts", "create_time_min")
} | {"query.create_time_max": "create_time_max"}
TRANSCRIBE_FIELDS = {"config.language": "language"}


@contextlib.contextmanager
def named(fields: Mapping[str, str]) -> Iterator[None]:
    """Rename the subject of an error that passes: from the stage's field to the client's."""
    try:
        yield
    except SensoriumError as error:
        error.subject = fields.get(error.subject, error.subject)
        raise
