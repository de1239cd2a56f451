"""Builds the search stage."""

from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import from_url
from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.errors import InvalidInput
from services.runtime.server import Stage, join_address
from services.runtime.settings import Settings
from services.runtime.tls import stage_tls
from services.search.forward import Forwarder
from services.search.lease import FolderLease, Lease
from services.search.object_lease import LeaseTerms, ObjectLease
from services.search.query import Searcher
from services.search.service import SearchService
from services.search.tables import Tables
from services.search.writer import IndexWriter


def build(settings: Settings) -> Stage:
    """Constructs the service; the tables are opened by the stage's start."""
    place = _place(settings)
    tables, lease = Tables(place), _lease(place, settings)
    writer = IndexWriter(tables, lease)
    tls = stage_tls(settings)
    credentials = tls.channel_credentials() if tls else None
    forwarder = Forwarder(lease, settings.connection_window_bytes, credentials)
    service = SearchService(Searcher(tables), writer, forwarder, settings.space)

    async def start() -> None:
        await tables.connect()
        await lease.acquire()
        await writer.start()

    async def stop() -> None:
        await writer.stop()
        await lease.release()
        await forwarder.close()
        tables.close()

    return Stage(
        name="search",
        service_name=search_pb2.DESCRIPTOR.services_by_name["SearchService"].full_name,
        register=lambda server: search_pb2_grpc.add_SearchServiceServicer_to_server(
            service, server
        ),
        start=start,
        stop=stop,
    )


def _place(settings: Settings) -> Path | str:
    """Where the index lies: a local folder, or the URL of a prefix in an object store."""
    url = settings.index_url.removeprefix("file://")
    if not url:
        return settings.data_dir / "lancedb"
    return url if "://" in url else Path(url)


def _lease(place: Path | str, settings: Settings) -> Lease:
    """Raises InvalidInput INDEX_URL_INVALID."""
    address = (
        settings.search_advertised_address
        or settings.search_address
        or join_address(settings.host, settings.port)
    )
    if isinstance(place, Path):
        return FolderLease(place, address)
    try:
        store = from_url(place)
    except BaseError:
        raise InvalidInput(
            "INDEX_URL_INVALID",
            "SENSORIUM_INDEX_URL names no object store that can be opened: give a folder, or a "
            "URL such as s3://bucket/prefix.",
            subject="SENSORIUM_INDEX_URL",
        ) from None
    return ObjectLease(store, address, LeaseTerms(settings.index_lease_s))
