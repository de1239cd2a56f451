"""Which stream a file waits on. Judged by its suffix: the server looks at the bytes anyway."""

import enum


class Modality(enum.StrEnum):
    """One stream each, so that films do not hold up texts."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


_SUFFIXES = {
    Modality.IMAGE: "jpg jpeg png gif webp bmp tif tiff",
    Modality.AUDIO: "wav mp3 ogg oga opus flac m4a",
    Modality.VIDEO: "mp4 m4v mov mkv webm ts m2ts flv",
}
_MODALITY_OF = {
    suffix: modality for modality, suffixes in _SUFFIXES.items() for suffix in suffixes.split()
}


def modality_of(name: str) -> Modality:
    """The stream of a file; text where the suffix says nothing."""
    return _MODALITY_OF.get(name.rpartition(".")[2].lower(), Modality.TEXT)
