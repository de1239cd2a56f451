"""The models of a server, by the names under which requests ask for them."""

from services.runtime.errors import NotFound
from services.runtime.settings import Settings

TRANSCRIPTION_MODEL = "whisper-1"
"""OpenAI's name of what writes out speech."""
MODERATION_MODEL = "omni-moderation-latest"
"""OpenAI's name of what judges words and pictures."""


def model_names(settings: Settings) -> tuple[str, ...]:
    """What answers, what embeds, what writes out speech, what moderates."""
    return settings.language_model, settings.space, TRANSCRIPTION_MODEL, MODERATION_MODEL


def check_language_model(name: str, settings: Settings) -> None:
    """Raise NotFound MODEL_UNKNOWN unless the name, which may be empty, is the language
    model's."""
    if name not in ("", settings.language_model):
        raise NotFound(
            "MODEL_UNKNOWN",
            f"This server answers with {settings.language_model}.",
            subject="model",
        )
