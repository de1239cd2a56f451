"""Builds the gateway."""

import asyncio
import logging

from sensorium.gateway.v1 import gateway_pb2_grpc

from services.gateway.access.credentials import credentials_of
from services.gateway.access.entrance import Entrance
from services.gateway.admission import Admission
from services.gateway.calls import GatewayCalls
from services.gateway.checking import Checker
from services.gateway.conversations.remembering import Conversations
from services.gateway.conversations.store import ConversationStore
from services.gateway.database.engine import Database
from services.gateway.deletion import Deleter
from services.gateway.http.app import build_app
from services.gateway.http.front import Front
from services.gateway.http.remote import RemoteFiles
from services.gateway.http.server import HttpServer
from services.gateway.indexing import Indexer
from services.gateway.metering.requests import metering_of
from services.gateway.moderation import check_served
from services.gateway.pipeline import Walk
from services.gateway.policy import load_policies
from services.gateway.responses import Responses
from services.gateway.retention import Expiry, load_retention
from services.gateway.service import GatewayServicer
from services.gateway.stages import connect, wait_until_serving
from services.runtime import telemetry
from services.runtime.server import Stage
from services.runtime.settings import Settings

log = logging.getLogger(__name__)


def build(settings: Settings) -> Stage:
    """Construct the gateway; the stages are dialled at the first call."""
    return assemble(settings, Admission(settings.turns_max), HttpServer(settings))


def assemble(settings: Settings, admission: Admission, http: HttpServer) -> Stage:
    """The gateway behind an admission and a server, which the caller may then observe."""
    background: list[asyncio.Task[None]] = []
    policies = load_policies(settings.moderation_file)
    stages = connect(settings)
    indexer = Indexer(stages, policies)
    database = Database(settings)
    conversations = Conversations(stages, ConversationStore(database))
    responses = Responses(stages, settings)
    deleter = Deleter(stages, indexer, (conversations, responses))
    expiry = Expiry(stages, deleter, load_retention(settings.retention_file))
    credentials = credentials_of(settings, database)
    metering = metering_of(settings, database)
    entrance = Entrance(metering, credentials)
    calls = GatewayCalls(
        Walk(stages, indexer, settings, policies, responses),
        admission,
        conversations,
        Checker(stages, indexer, deleter),
        metering.report,
        telemetry.remember_spans(settings),
    )
    servicer = GatewayServicer(calls, entrance)
    ready = asyncio.Event()
    app = build_app(Front(calls, entrance, settings, ready.is_set, RemoteFiles(settings)))

    async def keep_up() -> None:
        # What was being deleted is not indexed first.
        await deleter.catch_up()
        # Nor does retention wait until all that is stored is judged.
        background.append(asyncio.create_task(expiry.run()))
        await indexer.catch_up_all()

    async def start() -> None:
        if settings.http_enabled:
            http.open(app)
            log.info("the page and the HTTP API are at %s/", http.url)
        await database.open()
        # A gateway that answers before its stages do would only refuse.
        await wait_until_serving(stages)
        await check_served(stages, policies.watched)
        background.append(asyncio.create_task(keep_up()))
        background.append(asyncio.create_task(metering.run()))
        ready.set()

    async def stop() -> None:
        await http.close()
        for task in background:
            task.cancel()
        await deleter.close()
        await indexer.close()
        await responses.close()
        await stages.close()
        if credentials:
            await credentials.close()
        await metering.close()
        await database.close()

    return Stage(
        name="gateway",
        service_name="sensorium.gateway.v1.GatewayService",
        register=lambda server: gateway_pb2_grpc.add_GatewayServiceServicer_to_server(
            servicer, server
        ),
        start=start,
        stop=stop,
        drain=http.drain,
    )
