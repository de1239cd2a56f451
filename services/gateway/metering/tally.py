"""What ingest tells of media, added up for the account of a request."""

from sensorium.ingest.v1 import ingest_pb2

from services.runtime.account import Account
from services.runtime.durations import to_seconds


class MediaTally:
    """Counts segments, and the length of each asset as soon and as far as it is known."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._lengths_s: dict[str, float] = {}

    def note(self, event: ingest_pb2.StreamingIngestResponse) -> None:
        """Take in an event of ingest."""
        kind = event.WhichOneof("event")
        if kind == "asset_info":
            # Unset where the container does not state it at its start.
            self._reach(event.asset_info.asset_id, to_seconds(event.asset_info.duration))
        elif kind == "segment":
            self._account.used.segment_count += 1
            end_s = to_seconds(event.segment.locator.span.end)
            self._reach(event.segment.asset_id, end_s)

    def _reach(self, asset_id: str, length_s: float) -> None:
        known_s = self._lengths_s.get(asset_id, 0.0)
        if length_s > known_s:
            self._account.used.media_s += length_s - known_s
            self._lengths_s[asset_id] = length_s
