"""Builds the search stage."""

from sensorium.search.v1 import search_pb2, search_pb2_grpc

from services.runtime.server import Stage
from services.runtime.settings import Settings
from services.search.query import Searcher
from services.search.service import SearchService
from services.search.tables import Tables
from services.search.writer import IndexWriter


def build(settings: Settings) -> Stage:
    """Constructs the service; the tables are opened by the stage's start."""
    tables = Tables(settings.data_dir / "lancedb")
    writer = IndexWriter(tables)
    service = SearchService(Searcher(tables), writer, settings.space)

    async def start() -> None:
        await tables.connect()
        await writer.start()

    async def stop() -> None:
        await writer.stop()
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
