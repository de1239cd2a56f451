"""What a turn has perceived, in the order of what was sent."""

from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2, upload_pb2

from services.gateway.ledger import Ledger


def test_what_is_durable_is_told_in_the_order_in_which_it_was_announced() -> None:
    ledger = Ledger()
    for name in ("film", "broken", "text"):
        ledger.announce(upload_pb2.AssetStart(asset_id=name))
    # What a text is becomes known before what a film is.
    for name in ("text", "broken", "film"):
        info = media_pb2.AssetInfo(asset_id=name)
        ledger.note_ingest(ingest_pb2.StreamingIngestResponse(asset_info=info))
    for name in ("text", "film"):
        asset = media_pb2.Asset(asset_id=name)
        ledger.note_ingest(ingest_pb2.StreamingIngestResponse(asset=asset))
    assert [entry.info.asset_id for entry in ledger.committed()] == ["film", "text"]
