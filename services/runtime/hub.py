"""Models of a hub: a snapshot that was fetched before, or the same files in a folder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from services.runtime.errors import InvalidInput, Unavailable
from services.runtime.models import ModelRef

# Configuration, vocabularies and weights: no pickles, and no code.
_PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model's folder; ``sha256`` is that of all its files and their names."""

    ref: str
    folder: Path
    sha256: str


def resolve_hub(ref: ModelRef) -> HubModel:
    """Finds ``hf:<repo>@<revision>`` in the cache of huggingface_hub, or ``<repo>`` as a folder
    of this machine, where the revision is no more than a name. Never downloads. Blocks.

    Raises:
        InvalidInput: MODEL_REF_INVALID, where it is no reference to a hub.
        Unavailable: MODEL_NOT_INSTALLED, with the command that fetches it.
    """
    if ref.scheme != "hf":
        raise InvalidInput(
            "MODEL_REF_INVALID", "A model of a hub is hf:<repo>@<revision>.", subject=str(ref)
        )
    folder = Path(ref.location)
    if not folder.is_dir():
        folder = _snapshot(ref)
    return HubModel(str(ref), folder, _digest(folder))


def _snapshot(ref: ModelRef) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            ref.location,
            revision=ref.detail,
            allow_patterns=list(_PATTERNS),
            local_files_only=True,
        )
    except (LocalEntryNotFoundError, HFValidationError):
        raise Unavailable(
            "MODEL_NOT_INSTALLED",
            "A model of a hub is not on this machine; fetch it with: "
            f"hf download {ref.location} --revision {ref.detail}",
            subject=str(ref),
        ) from None
    return Path(folder)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(each for pattern in _PATTERNS for each in folder.glob(pattern)):
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{path.name} {content}\n".encode())
    return digest.hexdigest()
