"""One server for any set of stages: options, health, reflection, readiness, drain."""

import asyncio
import contextlib
import fcntl
import ipaddress
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.runtime import telemetry
from services.runtime.channel import server_options
from services.runtime.errors import InvalidInput, SensoriumError, Unavailable
from services.runtime.interceptors import LiveStreams, StageInterceptor
from services.runtime.memory import limit_arenas
from services.runtime.private_folder import private_folder
from services.runtime.settings import Settings
from services.runtime.tls import Tls, server_tls, stage_tls

log = logging.getLogger(__name__)

HEALTH_CHECK_INTERVAL_S = 1.0
INNER_STAGES = ("ingest", "encode", "fuse", "generate", "search")
STORING_STAGES = {"ingest", "search"}
# The index is not among them: the lease of its writer guards it.
LOCKED_STAGES = {"ingest"}
LOCK_FILE = "lock"


async def _nothing_to_drain() -> None:
    """A stage whose calls all come by gRPC."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A service and its life: registered, started (models loaded, tables open), stopped.

    ``drain`` is for what comes to it by other ways than gRPC: it refuses from then on, and
    returns when what is open has ended or its grace is over.
    """

    name: str
    service_name: str
    register: Callable[[grpc.aio.Server], None]
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
    drain: Callable[[], Coroutine[None, None, None]] = _nothing_to_drain


BuildStage = Callable[[Settings], Stage]


class StageServer:
    """A gRPC server that hosts stages, at host:port or unix:/path. ``port`` is known once it is
    made."""

    def __init__(self, address: str, settings: Settings, tls: Tls | None = None) -> None:
        self._settings = settings
        self._live = LiveStreams()
        self._health = health.aio.HealthServicer()
        self._serving: set[str] = set()
        self._stages: list[Stage] = []
        self._interceptor = StageInterceptor(self._serving.__contains__, self._live)
        self._server = grpc.aio.server(
            options=server_options(settings.connection_window_bytes),
            interceptors=[self._interceptor],
        )
        try:
            self.port = (
                self._server.add_secure_port(address, tls.grpc_credentials())
                if tls
                else self._server.add_insecure_port(address)
            )
        except RuntimeError:
            raise Unavailable(
                "PORT_IN_USE",
                f"Cannot listen on {address}: is another server running there? "
                "Set SENSORIUM_PORT to use another port.",
                subject="SENSORIUM_PORT",
            ) from None

    async def open(self, stages: Sequence[Stage]) -> None:
        """Register the stages and accept calls; each answers NOT_READY until it is started."""
        self._stages = list(stages)
        for stage in stages:
            stage.register(self._server)
            await self._health.set(stage.service_name, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [stage.service_name for stage in stages]
        reflection.enable_server_reflection(
            (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        await self._server.start()

    async def start_stages(self) -> None:
        """Start all stages at once; health turns SERVING stage by stage, then as a whole."""

        async def start(stage: Stage) -> None:
            await stage.start()
            self._serving.add(stage.service_name)
            await self._health.set(stage.service_name, health_pb2.HealthCheckResponse.SERVING)
            log.info("%s is ready", stage.name)

        async with asyncio.TaskGroup() as group:
            for stage in self._stages:
                group.create_task(start(stage))
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """Let open streams end: health, two check intervals, GoAway, then the grace."""
        await self._health.enter_graceful_shutdown()
        self._interceptor.draining = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_streams())
            for stage in self._stages:
                group.create_task(stage.drain())
        await self._server.stop(0)

    async def _end_streams(self) -> None:
        if len(self._live):
            await asyncio.sleep(2 * HEALTH_CHECK_INTERVAL_S)
            await self._live.go_away(self._settings.drain_grace_s)
            await self._live.ended(self._settings.drain_grace_s)

    async def close(self) -> None:
        """Stop at once, and the stages with it. Also ends a drain."""
        await self._server.stop(0)
        for stage in self._stages:
            await stage.stop()


@contextlib.contextmanager
def locked_data_dir(settings: Settings) -> Iterator[None]:
    """Hold the data folder against a second server. Raises Unavailable DATA_DIR_IN_USE."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    # Not truncated: it tells the commands where the server that holds it listens.
    with (settings.data_dir / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                "DATA_DIR_IN_USE",
                "Another server uses the same data folder. Stop it, use it with --server, "
                "or set SENSORIUM_DATA_DIR.",
                subject="SENSORIUM_DATA_DIR",
            ) from None
        yield


def join_address(host: str, port: int) -> str:
    """host:port, as gRPC dials and binds it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_addresses(builders: dict[str, BuildStage], settings: Settings) -> None:
    """A gateway must know where each stage is. Raises InvalidInput STAGE_ADDRESS_MISSING."""
    for name in INNER_STAGES if "gateway" in builders else ():
        if name not in builders and not getattr(settings, f"{name}_address"):
            variable = f"SENSORIUM_{name.upper()}_ADDRESS"
            raise InvalidInput(
                "STAGE_ADDRESS_MISSING",
                f"This gateway does not host {name}: set {variable} to its host:port.",
                subject=variable,
            )


def _check_access(settings: Settings) -> None:
    """What everybody reaches asks for credentials. Raises InvalidInput AUTH_OFF_IN_PUBLIC."""
    if settings.auth == "required":
        return
    address = join_address(settings.host, settings.port)
    if not is_loopback(settings.host):
        raise InvalidInput(
            "AUTH_OFF_IN_PUBLIC",
            f"Other machines reach {address}, and no credentials are asked for. Set "
            "SENSORIUM_AUTH=required (`sensorium keys create` makes a key), or listen on "
            "127.0.0.1.",
            subject="SENSORIUM_AUTH",
        )
    log.warning(
        "credentials are off: who reaches this machine's %s may do everything; "
        "SENSORIUM_AUTH=required turns them on",
        settings.host,
    )


@contextlib.asynccontextmanager
async def hosting(
    builders: dict[str, BuildStage], settings: Settings
) -> AsyncIterator[tuple[Settings, list[StageServer]]]:
    """Host stages in this process and yield the settings with the real ports filled in.

    The stages believe what a call says of its tenant. So where the gateway asks for credentials,
    it alone listens on the address, and the stages on one that only this user reaches. So they do
    where the stages elsewhere are reached over TLS: what is at an address is then known to be one.
    """
    _check_addresses(builders, settings)
    between = tls = stage_tls(settings)
    if "gateway" in builders:
        _check_access(settings)
        tls = server_tls(settings)
    telemetry.install(settings)
    inner_names = [name for name in builders if name != "gateway"]
    guarded = settings.auth == "required" or tls or between
    apart = "gateway" in builders and inner_names and guarded
    with contextlib.ExitStack() as private:
        public = StageServer(join_address(settings.host, settings.port), settings, tls)
        inner, inner_address = public, join_address(settings.host, public.port)
        servers = [public]
        if apart:
            # Where only processes of this user reach it.
            inner_address = f"unix:{private.enter_context(private_folder())}/stages"
            inner = StageServer(inner_address, settings)
            servers.append(inner)
        addresses = {f"{name}_address": inner_address for name in inner_names}
        settings = settings.model_copy(update={"port": public.port, **addresses})
        stages = {name: build(settings) for name, build in builders.items()}
        try:
            if inner is public:
                await public.open(list(stages.values()))
            else:
                await inner.open([stages[name] for name in inner_names])
                await public.open([stages["gateway"]])
            yield settings, servers
        finally:
            for server in servers:
                await server.close()


async def _serve(builders: dict[str, BuildStage], settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    async with hosting(builders, settings) as (effective, servers):
        own = effective.tls_cert_file if "gateway" in builders else effective.stage_tls_cert_file
        scheme = "https://" if own else ""
        address = scheme + join_address(effective.host, effective.port)
        log.info("listening on %s", address)
        if "gateway" in builders and STORING_STAGES & builders.keys():
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            (settings.data_dir / LOCK_FILE).write_text(address)

        async def start() -> None:
            await asyncio.gather(*(server.start_stages() for server in servers))
            log.info("ready")

        starting: asyncio.Task[object] = asyncio.create_task(start())
        stopping: asyncio.Task[object] = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            await starting
            await stopping
        starting.cancel()
        log.info("draining")
        for server in servers:
            await server.drain()


def run(builders: dict[str, BuildStage], settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. On a bad start print one line and exit with 1."""
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Before there are threads.
    limit_arenas()
    locked = LOCKED_STAGES & builders.keys()
    try:
        with locked_data_dir(settings) if locked else contextlib.nullcontext():
            asyncio.run(_serve(builders, settings))
    except* SensoriumError as group:
        for error in group.exceptions:
            print(f"sensorium: {error}", file=sys.stderr)
        raise SystemExit(1) from None
