"""The HTTP application: routes, and what holds for all of them."""

from fastapi import FastAPI

from services.gateway.http import errors, openapi
from services.gateway.http.audio import events as audio_events
from services.gateway.http.chat.request import ChatRequest
from services.gateway.http.chat.response import ChatChunk, LastChunk, UsageChunk
from services.gateway.http.errors import ErrorBody
from services.gateway.http.front import Front
from services.gateway.http.router import operation_id
from services.gateway.http.routes import (
    audio,
    chat,
    conversations,
    converse,
    embeddings,
    file_contents,
    files,
    health,
    models,
    moderations,
    page,
    search,
    traces,
    usage,
    video,
)
from services.gateway.http.search.request import SearchBody
from services.gateway.http.video import VideoRequest

ROUTERS = (
    audio.router,
    chat.router,
    conversations.router,
    converse.router,
    embeddings.router,
    file_contents.router,
    files.router,
    health.router,
    models.router,
    moderations.router,
    page.router,
    search.router,
    traces.router,
    usage.router,
    video.router,
)
REQUESTS = (
    ChatRequest,
    conversations.ConversationFields,
    conversations.ConversationChanges,
    embeddings.EmbeddingsRequest,
    moderations.ModerationRequest,
    SearchBody,
    VideoRequest,
)
EVENTS = (ChatChunk, LastChunk, UsageChunk, *audio_events.EVENTS)
"""What the routes read and stream by themselves, and OpenAPI describes all the same."""


def build_app(front: Front) -> FastAPI:
    """The application of a gateway."""
    app = FastAPI(
        title="Sensorium",
        description="Media chunks flow in, tokens flow out. Besides the errors of an operation, "
        "what is not well-formed HTTP is refused with 400, 408, 414 or 431, in the same shape.",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url=errors.DESCRIPTION_PATH,
        # There is one URL for each thing.
        redirect_slashes=False,
        # Tracing has the one span that a request needs; FastAPI would add three.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
        generate_unique_id_function=operation_id,
        # Brings in the schema; ``openapi.describe`` tells which errors there are.
        responses={"default": {"model": ErrorBody}},
    )
    app.state.front = front
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    openapi.describe(app, REQUESTS, EVENTS, front.settings)
    return app
