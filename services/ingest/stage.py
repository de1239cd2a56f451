"""Builds the ingest stage."""

from sensorium.ingest.v1 import ingest_pb2, ingest_pb2_grpc

from services.ingest.engine import IngestEngine, Storage
from services.ingest.fetched import FetchedFiles
from services.ingest.links import Links
from services.ingest.objects import open_objects
from services.ingest.options import RenditionKinds, cut_options_of, limits_of
from services.ingest.service import IngestService
from services.ingest.spool import Spool
from services.runtime.server import Stage
from services.runtime.settings import Settings


def build_engine(settings: Settings) -> IngestEngine:
    """The part of the stage that does the work."""
    folder = settings.data_dir
    fetched = FetchedFiles(folder / "fetched", settings.media_cache_bytes)
    objects = open_objects(settings.media_url, folder / "media", fetched)
    return IngestEngine(
        Storage(
            Spool(folder / "uploads", settings.upload_expiry_s),
            objects,
            folder / "scratch",
            settings.space,
        ),
        limits_of(settings),
        cut_options_of(settings),
        RenditionKinds(settings.renditions),
        Links(settings.cdn_url_template, objects.sign if objects.has_urls else None),
    )


def stage_of(engine: IngestEngine) -> Stage:
    """A stage around an engine; tests keep the engine to look into it."""
    service = IngestService(engine)
    return Stage(
        name="ingest",
        service_name=ingest_pb2.DESCRIPTOR.services_by_name["IngestService"].full_name,
        register=lambda server: ingest_pb2_grpc.add_IngestServiceServicer_to_server(
            service, server
        ),
        start=engine.start,
        stop=engine.stop,
    )


def build(settings: Settings) -> Stage:
    """Constructs everything the stage needs."""
    return stage_of(build_engine(settings))
