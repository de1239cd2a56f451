"""Builds the fuse stage."""

from sensorium.fuse.v1 import fuse_pb2, fuse_pb2_grpc

from services.fuse.service import FuseService
from services.fuse.session import FuseOptions
from services.runtime.server import Stage
from services.runtime.settings import Settings

# In units of cosine. Sentence embeddings put what answers a question 0.2 to 0.5
# above what does not: at 0.1 that is 7 to 150 times the weight.
DEFAULT_TEMPERATURE = 0.1


def build(settings: Settings) -> Stage:
    """Constructs the service; it holds no model and nothing to load."""
    defaults = FuseOptions(settings.evidence_token_budget, DEFAULT_TEMPERATURE)
    service = FuseService(defaults)

    async def nothing() -> None:
        """There is nothing to load and nothing to free."""

    return Stage(
        name="fuse",
        service_name=fuse_pb2.DESCRIPTOR.services_by_name["FuseService"].full_name,
        register=lambda server: fuse_pb2_grpc.add_FuseServiceServicer_to_server(service, server),
        start=nothing,
        stop=nothing,
    )
