"""Puts the generate stage together."""

import asyncio

import grpc
from sensorium.generate.v1 import generate_pb2, generate_pb2_grpc

from services.generate.backends import load_model
from services.generate.engine import Engine, EngineLimits
from services.generate.service import GenerateService
from services.runtime.server import Stage
from services.runtime.settings import Settings

SERVICE_NAME = generate_pb2.DESCRIPTOR.services_by_name["GenerateService"].full_name


def build(settings: Settings) -> Stage:
    """The stage; its model is loaded by ``start`` and freed by ``stop``."""
    return assemble(settings, GenerateService(settings.answer_tokens_max))


def assemble(settings: Settings, service: GenerateService) -> Stage:
    """The stage around a service, whose ``engine`` the caller may then observe."""

    def register(server: grpc.aio.Server) -> None:
        generate_pb2_grpc.add_GenerateServiceServicer_to_server(service, server)

    async def start() -> None:
        model = await asyncio.to_thread(load_model, settings.language_model, settings)
        engine = Engine(
            model,
            EngineLimits(
                waiting_max=settings.generate_waiting_max,
                question_characters_max=settings.question_characters_max,
            ),
        )
        await engine.warm_up()
        service.engine = engine

    async def stop() -> None:
        if service.engine is not None:
            await service.engine.close()
            service.engine = None

    return Stage("generate", SERVICE_NAME, register, start, stop)
