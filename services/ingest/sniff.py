"""What a file is, judged from its first bytes alone.

A client's file name never decides what decoder runs. It is only held against
the finding: a name that promises another modality than the bytes deliver is
refused, because one of the two is a mistake the client wants to hear of.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from services.runtime.errors import InvalidInput

SNIFF_BYTES = 4096
"""How many of the first bytes are looked at."""


class Family(Enum):
    """Which decoder takes the bytes."""

    TEXT = "text"
    IMAGE = "image"
    TIMED = "timed"
    """Sound or moving pictures."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """The verdict: ``demuxer`` is the libavformat name, ``decoder`` the Pillow one."""

    family: Family
    mime_type: str
    demuxer: str = ""
    decoder: str = ""


_PLAYLIST_HEADS = (
    b"#extm3u",
    b"[playlist]",
    b"ffconcat version",
    b"[reference]",
    b"<asx",
    b"<smil",
    b"<mpd",
    b"<playlist",
    b"v=0\r\no=",
    b"v=0\no=",
)
_MP4_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_MP4_PICTURE_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}
_MP4_SOUND_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_TEXT_CONTROLS = frozenset(b"\t\n\r\f")

_FAMILY_OF_SUFFIX = {
    **dict.fromkeys(("txt", "md", "rst", "text"), Family.TEXT),
    **dict.fromkeys(("jpg", "jpeg", "png", "gif", "webp", "bmp", "tif", "tiff"), Family.IMAGE),
    **dict.fromkeys(("mp4", "m4v", "mov", "mkv", "webm", "ts", "m2ts", "flv"), Family.TIMED),
    **dict.fromkeys(("wav", "mp3", "ogg", "oga", "opus", "flac", "m4a", "aac"), Family.TIMED),
}
_FAMILY_WORDS = {
    Family.TEXT: "text",
    Family.IMAGE: "a picture",
    Family.TIMED: "sound or video",
}


def sniff(head: bytes) -> MediaType:
    """Judge a file by its first bytes.

    ``head`` holds the first :data:`SNIFF_BYTES` bytes, or all where the file is
    shorter.

    Raises:
        InvalidInput: ``EMPTY_FILE`` or ``UNSUPPORTED_MEDIA``. Playlists (HLS and
            the like) are refused: they point at other places instead of
            holding media.
    """
    if not head:
        raise InvalidInput("EMPTY_FILE", "The file is empty.")
    stripped = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if stripped.startswith(b"<?xml"):
        stripped = stripped.partition(b"?>")[2].lstrip()
    if stripped.startswith(_PLAYLIST_HEADS):
        raise InvalidInput(
            "UNSUPPORTED_MEDIA",
            "This is a playlist, not media; send the media file that it points at.",
        )
    found = _picture(head) or _timed(head) or _text(head)
    if found is None:
        raise InvalidInput(
            "UNSUPPORTED_MEDIA",
            "The bytes are none of the supported types: JPEG, PNG, WebP, GIF, BMP, TIFF, MP4, "
            "MOV, Matroska, WebM, MPEG-TS, FLV, WAV, MP3, Ogg, FLAC, M4A, AAC or UTF-8 text.",
        )
    return found


def check_name(name: str, found: MediaType) -> None:
    """Hold a client's name against the bytes.

    Raises:
        InvalidInput: ``TYPE_MISMATCH`` where the suffix promises another family
            of media. Unknown suffixes promise nothing.
    """
    promised = _FAMILY_OF_SUFFIX.get(PurePosixPath(name).suffix.lower().lstrip("."))
    if promised is not None and promised is not found.family:
        raise InvalidInput(
            "TYPE_MISMATCH",
            f"The name promises {_FAMILY_WORDS[promised]}, but the bytes are "
            f"{_FAMILY_WORDS[found.family]} ({found.mime_type}).",
            subject="name",
        )


def _picture(head: bytes) -> MediaType | None:
    if head.startswith(b"\xff\xd8\xff"):
        return MediaType(Family.IMAGE, "image/jpeg", decoder="JPEG")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return MediaType(Family.IMAGE, "image/png", decoder="PNG")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return MediaType(Family.IMAGE, "image/webp", decoder="WEBP")
    if head.startswith((b"GIF87a", b"GIF89a")):
        return MediaType(Family.IMAGE, "image/gif", decoder="GIF")
    if head.startswith((b"II*\0", b"MM\0*")):
        return MediaType(Family.IMAGE, "image/tiff", decoder="TIFF")
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return MediaType(Family.IMAGE, "image/bmp", decoder="BMP")
    return None


def _timed(head: bytes) -> MediaType | None:
    if head[4:8] == b"ftyp":
        return _mp4(head[8:12])
    if head[4:8] in _MP4_ATOMS:
        return MediaType(Family.TIMED, "video/quicktime", demuxer="mov")
    if head.startswith(b"\x1aE\xdf\xa3"):
        kind = "webm" if b"webm" in head[:64] else "x-matroska"
        return MediaType(Family.TIMED, f"video/{kind}", demuxer="matroska")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return MediaType(Family.TIMED, "audio/wav", demuxer="wav")
    if head.startswith(b"OggS"):
        return MediaType(Family.TIMED, "audio/ogg", demuxer="ogg")
    if head.startswith(b"fLaC"):
        return MediaType(Family.TIMED, "audio/flac", demuxer="flac")
    if head.startswith(b"FLV\x01"):
        return MediaType(Family.TIMED, "video/x-flv", demuxer="flv")
    if head.startswith(b"ID3") or _is_mp3_frame(head):
        return MediaType(Family.TIMED, "audio/mpeg", demuxer="mp3")
    if _is_adts_frame(head):
        return MediaType(Family.TIMED, "audio/aac", demuxer="aac")
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:
        return MediaType(Family.TIMED, "video/mp2t", demuxer="mpegts")
    return None


def _mp4(brand: bytes) -> MediaType | None:
    if brand in _MP4_PICTURE_BRANDS:
        return None
    if brand in _MP4_SOUND_BRANDS:
        return MediaType(Family.TIMED, "audio/mp4", demuxer="mov")
    kind = "quicktime" if brand == b"qt  " else "mp4"
    return MediaType(Family.TIMED, f"video/{kind}", demuxer="mov")


def _is_mp3_frame(head: bytes) -> bool:
    # ISO 11172-3: 11 sync bits, a layer III header with a legal bit rate and sample rate.
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    return head[1] & 0x18 != 0x08 and head[2] >> 4 not in (0, 15) and head[2] & 0x0C != 0x0C


def _is_adts_frame(head: bytes) -> bool:
    # ISO 14496-3, annex 1.A: 12 sync bits, layer 0, a legal sample rate; where the frame ends, the
    # next one begins.
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or (head[2] >> 2) & 0xF > 12:
        return False
    length = (head[3] & 0x03) << 11 | head[4] << 3 | head[5] >> 5
    following = head[length : length + 2]
    is_last = len(following) < 2
    return length >= 7 and (is_last or (following[0] == 0xFF and following[1] >> 4 == 0xF))


def _text(head: bytes) -> MediaType | None:
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in head):
        return None
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last character may be cut by the end of the head.
        cut_short = len(head) >= SNIFF_BYTES and error.reason == "unexpected end of data"
        if not cut_short:
            return None
    return MediaType(Family.TEXT, "text/plain")
