"""The names that clients give: what becomes part of a path, and the keys of metadata."""

import re

_ASSET_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_METADATA_KEY = re.compile(r"[a-z0-9_.-]{1,64}")


def is_asset_id(text: str) -> bool:
    """Whether it is 1 to 64 letters, digits, ``-`` and ``_``."""
    return _ASSET_ID.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Whether it is 64 lower-case hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def is_metadata_key(text: str) -> bool:
    """Whether it is 1 to 64 small letters, digits, ``_``, ``.`` and ``-``."""
    return _METADATA_KEY.fullmatch(text) is not None
