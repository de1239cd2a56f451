"""The trace and the metrics of each HTTP request."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime import telemetry
from services.runtime.served import ServedCall, served_call

CARRIED = ("traceparent", "tracestate")
"""Headers of W3C Trace Context. Baggage is not taken from outside."""
REQUEST_ID = "x-request-id"
"""Where OpenAI's clients look for what to report with a problem; here it is the trace id."""


class Tracing:
    """A span for each request, above the spans of its calls; its trace id in the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        headers = Headers(scope=scope)
        carrier = {name: headers[name] for name in CARRIED if name in headers}
        method = scope.get("method", "WEBSOCKET")
        with served_call(method, carrier, **{"http.request.method": method}) as call:

            async def traced(message: Message) -> None:
                if message["type"] in ("http.response.start", "websocket.accept"):
                    message.setdefault("headers", [])
                    MutableHeaders(scope=message)[REQUEST_ID] = telemetry.current_trace_id()
                await send(message)

            try:
                await self._app(scope, receive, traced)
            except Exception as error:  # noqa: BLE001 - the boundary: nothing foreign leaves
                # The app has answered, if it still could; the server need only hang up.
                if call.error is None:
                    call.failed(error)
            finally:
                _name(call, method, scope)


def _name(call: ServedCall, method: str, scope: Scope) -> None:
    """By the template of the path: there are as many paths as assets."""
    route = scope.get("route")
    call.rename(f"{method} {getattr(route, 'path', '(unknown path)')}")
