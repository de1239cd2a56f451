"""Requests as OpenAPI shows them. Each can be sent as it is."""

from typing import Any

_PICTURE = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQAQMAAAAlPW0iAAAABlBMVEXcKCj6+vpfxGK8AAAAFElEQVR42mNgQAXsD5gY"
    "GJARGgAAHSAA8hMsgPUAAAAASUVORK5CYII="
)
"""A white square on red, of 16 by 16 pixels."""
_SOUND = (
    "UklGRsQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YaAAAACAm7TI1drVyLSbgGVMOCsmKzhMZYCbtMjV"
    "2tXItJuAZUw4KyYrOExlgJu0yNXa1ci0m4BlTDgrJis4TGWAm7TI1drVyLSbgGVMOCsmKzhMZYCbtMjV2tXItJuAZUw4"
    "KyYrOExlgJu0yNXa1ci0m4BlTDgrJis4TGWAm7TI1drVyLSbgGVMOCsmKzhMZYCbtMjV2tXItJuAZUw4KyYrOExl"
)
"""A beep, as WAV."""
_VIDEO = "data:video/webm;base64," + (
    "GkXfo59ChoEBQveBAULygQRC84EIQoKEd2VibUKHgQJChYECGFOAZwEAAAAAAAIHEU2bdLpNu4tTq4QVSalmU6yBoU27"
    "i1OrhBZUrmtTrIHYTbuMU6uEElTDZ1OsggEbTbuMU6uEHFO7a1OsggHx7AEAAAAAAABZAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAVSalmsirXsYMPQkBNgI1MYXZmNjIuMTIuMTAyV0GNTGF2ZjYyLjEyLjEwMkSJiECfQAAAAAAAFlSua76uAQAAAAAA"
    "ADXXgQFzxYiaB+uRkxG8XpyBACK1nIN1bmSIgQCGhVZfVlA4g4EBI+ODhDuaygDghrCBILqBIBJUw2fYc3OgY8CAZ8ia"
    "RaOHRU5DT0RFUkSHjUxhdmY2Mi4xMi4xMDJzc7JjwItjxYiaB+uRkxG8XmfIoUWjiERVUkFUSU9ORIeTMDA6MDA6MDIu"
    "MDAwMDAwMDAwAB9DtnX054EAo76BAACA0AIAnQEqIAAgAADHCIWFiJmEiASCAnWqA/gCCCEpnnD+/KPf/6aR40jxpHzF"
    "v/2+H+3w/2+H/7dkAKOvgQPoABECAAMQEAAYBzgIIXpyzUA6/wD+7qY//25Dy/Cp/+3I//4/lM7bpv/HngAcU7trkbuP"
    "s4EAt4r3gQHxggF48IED"
)
"""Red, then green: two seconds of 32 by 32 pixels."""

Example = dict[str, Any]


def examples(language_model: str) -> dict[str, dict[str, Example]]:
    """Operation -> short name -> example of its JSON."""

    def asked(summary: str, *content: Example, **options: Any) -> Example:
        message = {"role": "user", "content": list(content)}
        request = {"model": language_model, "messages": [message], "max_completion_tokens": 64}
        return {"summary": summary, "value": request | options}

    return {
        "createChatCompletion": {
            "picture": asked("About a picture", _words("What is in the middle?"), _PICTURE_PART),
            "sound": asked(
                "About a recording",
                _words("What is said?"),
                {"type": "input_audio", "input_audio": {"data": _SOUND, "format": "wav"}},
                sensorium={"language": "en"},
            ),
            "video": asked(
                "About a video, word by word",
                _words("Which colour comes first?"),
                {"type": "video_url", "video_url": {"url": _VIDEO}},
                stream=True,
                stream_options={"include_usage": True},
            ),
            "stored": asked(
                "About what is stored", _words("When was the harbour built?"), sensorium=_RECALL
            ),
        },
        "createEmbedding": {
            "mixed": {
                "summary": "Vectors of words and of a picture, in one space",
                "value": {"input": ["a red square", {"image": _PICTURE}]},
            }
        },
        "createModeration": {
            "words": {
                "summary": "Two texts, each by itself",
                "value": {"input": ["You are an idiot.", "Thank you for the flowers."]},
            }
        },
        "search": {
            "words": {
                "summary": "What was stored lately, by words",
                "value": {
                    "query": {"type": "text", "content": "boats in a harbour"},
                    "search_modalities": ["image", "video"],
                    "top_k": 5,
                    "filters": {"date_range": "last_30_days"},
                    "relevance_min": 0.3,
                },
            },
            "picture": {
                "summary": "What looks like a picture",
                "value": {"query": {"type": "image", "content": _PICTURE}},
            },
            "mix": {
                "summary": "Words and a picture, the words twice as much",
                "value": {
                    "query": [
                        {"type": "text", "content": "at night", "weight": 2},
                        {"type": "image", "content": _PICTURE, "weight": 1},
                    ]
                },
            },
        },
        "analyzeVideo": {
            "shots": {
                "summary": "One frame of each shot",
                "value": {
                    "prompt": "Which colours come after each other?",
                    "video_url": _VIDEO,
                    "frame_sampling": "scene",
                    "max_frames": 16,
                    "max_tokens": 64,
                },
            }
        },
    }


_PICTURE_PART: Example = {
    "type": "image_url",
    "image_url": {"url": _PICTURE, "detail": "auto"},
}
_RECALL = {"recall": True}


def _words(text: str) -> Example:
    return {"type": "text", "text": text}
