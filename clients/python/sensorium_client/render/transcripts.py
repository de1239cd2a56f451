"""What was heard as one JSON document."""

from collections.abc import Sequence
from typing import Any

from sensorium_client.events import Transcript, to_json


def document(transcripts: Sequence[Transcript]) -> dict[str, Any]:
    """All of it as one JSON object: the text, the language, and each sentence with its times."""
    sentences = []
    for transcript in transcripts:
        fields = to_json(transcript)
        sentences.append({name: fields[name] for name in ("span", "text", "language", "words")})
    return {
        "text": " ".join(transcript.text.strip() for transcript in transcripts),
        "language": transcripts[0].language if transcripts else "",
        "sentences": sentences,
    }
