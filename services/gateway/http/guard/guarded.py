"""What stands between the network and the routes, from the outside in.

Tracing -> response headers -> CORS -> who may ask -> draining -> bodies -> the application
"""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.http.errors import error_response, to_client
from services.gateway.http.guard.bodies import Bodies, BodyLimits
from services.gateway.http.guard.draining import Draining
from services.gateway.http.guard.response_headers import ResponseHeaders
from services.gateway.http.guard.sites import SAFE_METHODS, Sites, check_headers
from services.gateway.http.guard.tracing import REQUEST_ID, Tracing
from services.runtime.errors import SensoriumError
from services.runtime.server import is_loopback
from services.runtime.settings import Settings

FORM_FILES_MAX = 8
"""Largest form: so many files of the largest size."""
FORM_OVERHEAD_BYTES = 4 << 20
"""Of a form, besides its files."""
EXPOSED_HEADERS = (REQUEST_ID, "retry-after")


class Guarded:
    """An application behind all that guards it. ``draining`` ends its requests."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.draining = Draining(Bodies(app, _body_limits(settings)))
        guarded: ASGIApp = CrossSite(self.draining, _sites(settings))
        if settings.http_origins:
            guarded = CORSMiddleware(
                guarded,
                allow_origins=settings.http_origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=EXPOSED_HEADERS,
            )
        self._app = Tracing(ResponseHeaders(guarded))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        await self._app(scope, receive, send)


class CrossSite:
    """Refuses what comes by a foreign name, or from a foreign page to change something."""

    def __init__(self, app: ASGIApp, sites: Sites) -> None:
        self._app = app
        self._sites = sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        try:
            self._check(scope)
        except SensoriumError as error:
            await error_response(to_client(error))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        host = check_headers(scope["headers"])
        self._sites.check_host(host)
        if scope.get("method") in SAFE_METHODS:
            return
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        for origin in origins:
            self._sites.check_origin(origin.decode("latin-1"), host)


def _sites(settings: Settings) -> Sites:
    named = frozenset(name.lower() for name in settings.http_hosts)
    # By a public address the server has names that it does not know.
    hosts = named if named or is_loopback(settings.host) else None
    return Sites(hosts, frozenset(settings.http_origins))


def _body_limits(settings: Settings) -> BodyLimits:
    return BodyLimits(
        json_bytes=settings.http_json_bytes_max,
        form_bytes=FORM_FILES_MAX * settings.asset_bytes_max + FORM_OVERHEAD_BYTES,
        stall_s=settings.http_stall_s,
        rate_min=settings.http_rate_min,
    )
