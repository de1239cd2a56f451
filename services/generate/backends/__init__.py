"""Language model back ends, by the scheme of a model reference; loaded only when used."""

from importlib import import_module

from services.generate.backends.base import LanguageModel
from services.runtime.errors import InvalidInput
from services.runtime.models import ModelRef
from services.runtime.settings import Settings

BACKENDS = {
    # A GGUF file of the offline kit, in this process.
    "wheel": "services.generate.backends.llamacpp",
}
"""Scheme to module; the module has ``load(reference, settings) -> LanguageModel``."""


def load_model(reference: str, settings: Settings) -> LanguageModel:
    """Load a model. Blocks for seconds.

    Raises:
        InvalidInput: MODEL_REF_INVALID, MODEL_SCHEME_UNSUPPORTED, MODEL_UNKNOWN.
        Unavailable: MODEL_NOT_INSTALLED.
        InternalFailure: MODEL_DIGEST_MISMATCH, MODEL_LOAD_FAILED.
    """
    parsed = ModelRef.parse(reference)
    if parsed.scheme not in BACKENDS:
        raise InvalidInput(
            "MODEL_SCHEME_UNSUPPORTED",
            f"Language models are loaded from: {', '.join(f'{name}:' for name in BACKENDS)}.",
            subject=reference,
        )
    model: LanguageModel = import_module(BACKENDS[parsed.scheme]).load(reference, settings)
    return model
