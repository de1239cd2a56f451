"""One language for the speech of an asset, where the caller leaves it to be detected."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class SpokenLanguage:
    """The language of one asset: that of its first window in which words are heard.

    Whoever finds ``code`` empty takes the ``turn`` to detect it. Turns come in the order
    in which windows do, so the same asset has the same language each time.
    """

    code: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class SpokenLanguages:
    """The languages of the assets of one stream."""

    def __init__(self) -> None:
        self._by_asset: dict[str, SpokenLanguage] = {}

    def of(self, asset_id: str) -> SpokenLanguage:
        """The language of an asset."""
        return self._by_asset.setdefault(asset_id, SpokenLanguage())
