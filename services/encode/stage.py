"""Puts the encode stage together."""

import logging
import time
from collections.abc import Awaitable, Callable

from sensorium.encode.v1 import encode_pb2, encode_pb2_grpc

from services.encode.encoder import Encoder
from services.encode.engines import Engines, ModelChoice, load_engines
from services.encode.hub_moderators import load_hub_moderators
from services.encode.service import EncodeServicer
from services.runtime.cache import RedisTier, ResultCache
from services.runtime.server import Stage
from services.runtime.settings import Settings

_log = logging.getLogger(__name__)

SERVICE_NAME = encode_pb2.DESCRIPTOR.services_by_name["EncodeService"].full_name

LoadEngines = Callable[[Settings], Awaitable[Engines]]


async def _load(settings: Settings) -> Engines:
    choice = ModelChoice(hub_moderators=load_hub_moderators(settings.moderation_models_file))
    return await load_engines(settings.cache_dir, settings.cpu_threads, choice)


def build(settings: Settings, load: LoadEngines = _load) -> Stage:
    """The encode stage; its models are loaded by ``start`` and freed by ``stop``."""
    servicer = EncodeServicer(settings.space)
    opened: list[Engines | ResultCache] = []

    async def start() -> None:
        started = time.perf_counter()
        engines = await load(settings)
        opened.append(engines)
        remote = RedisTier(settings.redis_url) if settings.redis_url else None
        cache = ResultCache(settings.cache_bytes, remote)
        opened.append(cache)
        servicer.open(engines, Encoder(engines, cache))
        _log.info("encode loaded its models in %.1f s", time.perf_counter() - started)

    async def stop() -> None:
        while opened:
            await opened.pop().close()

    return Stage(
        name="encode",
        service_name=SERVICE_NAME,
        register=lambda server: encode_pb2_grpc.add_EncodeServiceServicer_to_server(
            servicer, server
        ),
        start=start,
        stop=stop,
    )
