"""Builds the ingest stage."""

from sensorium.ingest.v1 import ingest_pb2, ingest_pb2_grpc

from services.ingest.engine import IngestEngine
from services.ingest.links import Links
from services.ingest.options import RenditionKinds, cut_options_of, limits_of
from services.ingest.service import IngestService
from services.runtime.server import Stage
from services.runtime.settings import Settings


def build_engine(settings: Settings) -> IngestEngine:
    """The part of the stage that does the work."""
    return IngestEngine(
        settings.data_dir,
        limits_of(settings),
        cut_options_of(settings),
        settings.upload_expiry_s,
        RenditionKinds(settings.renditions),
        Links(settings.cdn_url_template, None),
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
