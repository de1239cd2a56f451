"""What a call that is served leaves behind: a span, metrics, and one error that is told.

The same for every transport.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.trace import Span

from services.runtime import telemetry
from services.runtime.errors import InternalFailure, SensoriumError
from services.runtime.streams import first_error
from services.runtime.telemetry import metrics

log = logging.getLogger(__name__)


class ServedCall:
    """Span and metrics of one call. ``error`` is what it failed with, if it did."""

    def __init__(self, name: str, span: Span) -> None:
        self._span = span
        self.name = name
        self.error: SensoriumError | None = None

    def rename(self, name: str) -> None:
        """Give the call the name by which it is counted. It must be one of few."""
        self.name = name
        self._span.update_name(name)

    def of_tenant(self, tenant_id: str) -> None:
        """Tell for whom the call is made, before work for it begins."""
        telemetry.mark_tenant(self._span, tenant_id)
        # A span may have begun before it was known who calls.
        telemetry.mark_tenant(trace.get_current_span(), tenant_id)

    def failed(self, error: BaseException) -> SensoriumError:
        """Note an error and return what the client may see of it: ours as it is, the first of a
        group, else INTERNAL."""
        error = first_error(error)
        if isinstance(error, SensoriumError):
            self.error = error
        else:
            trace_id = telemetry.current_trace_id()
            log.error("%s failed, trace %s", self.name, trace_id, exc_info=error)
            self.error = InternalFailure(
                "INTERNAL", f"Something went wrong on the server; trace {trace_id} has the details."
            )
        telemetry.mark_failed(self._span, self.error.reason)
        return self.error


_current: ContextVar[ServedCall] = ContextVar("served_call")


def current_call() -> ServedCall:
    """The call that is being served. Raises LookupError outside of one."""
    return _current.get()


@contextlib.contextmanager
def served_call(name: str, carrier: Mapping[str, str], **attributes: str) -> Iterator[ServedCall]:
    """A call for as long as it is served, child of the caller's span in W3C ``carrier``."""
    started = time.monotonic()
    with telemetry.server_span(name.lstrip("/"), carrier, attributes) as span:
        call = ServedCall(name, span)
        token = _current.set(call)
        try:
            yield call
        finally:
            _current.reset(token)
            metrics.requests.add(1, {"method": call.name})
            metrics.request_duration.record(time.monotonic() - started, {"method": call.name})
            if call.error:
                metrics.errors.add(1, {"method": call.name, "reason": call.error.reason})
