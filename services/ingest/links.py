"""URLs of stored bytes: those of a content delivery network, or signed ones of the object store."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from services.ingest.content import Content
from services.runtime.errors import InvalidInput, OutOfOrder

TTL_DEFAULT_S = 3600.0
TTL_MAX_S = 7 * 24 * 3600.0
"""What S3 allows a signature of version 4."""

Sign = Callable[[str, float], str]
"""From a key, and the seconds that the URL works, to a URL for GET."""


@dataclass(frozen=True, slots=True)
class Link:
    """``expire_time_s`` (Unix time) is None where the URL does not expire by itself."""

    url: str
    expire_time_s: float | None


@dataclass(frozen=True, slots=True)
class Links:
    """Makes URLs. ``template`` is as ``Settings.cdn_url_template``; ``sign`` is None where the
    object store has no URLs of its own."""

    template: str
    sign: Sign | None

    def link(self, content: Content, ttl_s: float | None) -> Link:
        """The URL of stored bytes, which works for ``ttl_s``. May block.

        Raises:
            InvalidInput: ``TTL_INVALID``.
            OutOfOrder: ``URLS_NOT_CONFIGURED``.
        """
        ttl_s = TTL_DEFAULT_S if ttl_s is None else ttl_s
        if not 1 <= ttl_s <= TTL_MAX_S:
            raise InvalidInput(
                "TTL_INVALID", f"ttl is 1 to {TTL_MAX_S:.0f} seconds.", subject="ttl"
            )
        if self.template:
            url = self.template.format(
                key=content.key,
                tenant=content.tenant,
                sha256=content.record.sha256,
                rendition=content.rendition.name if content.rendition else "original",
            )
            return Link(url, None)
        if self.sign is None:
            raise OutOfOrder(
                "URLS_NOT_CONFIGURED",
                "Media in a local folder have no URLs: set SENSORIUM_CDN_URL_TEMPLATE, or keep "
                "them in S3 with SENSORIUM_MEDIA_URL; or use DownloadAsset.",
                subject="SENSORIUM_CDN_URL_TEMPLATE",
            )
        return Link(self.sign(content.key, ttl_s), time.time() + ttl_s)
