"""What can go wrong, as the domain sees it. No gRPC here: ``status.py`` maps it.

SensoriumError
 ├── InvalidInput       the request can never work as it is
 ├── LimitExceeded      it is past a stated limit of size, length or window
 ├── Unauthenticated    it is not known who asks
 ├── PermissionDenied   who asks may not do that
 ├── NotFound           the tenant has no such thing
 ├── AlreadyExists      the id is taken by something else
 ├── OutOfOrder         right message, wrong moment
 ├── TimedOut           the caller took longer than it may
 ├── Overloaded         try again after ``retry_after_s``
 ├── Unavailable        a part of the platform cannot be reached or is not ready
 └── InternalFailure    our fault
"""


class SensoriumError(Exception):
    """An error that may be shown to a client.

    ``reason`` is UPPER_SNAKE_CASE and stable, for programs. ``message`` is one
    sentence for a person: what is wrong and what to do about it; never a path
    of the server, never the text of a foreign exception. ``subject`` names the
    field, part, asset or file at fault.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        subject: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.subject = subject
        self.retry_after_s = retry_after_s


class InvalidInput(SensoriumError):
    """The request can never work as it is: bad bytes, bad value, unknown name."""


class LimitExceeded(SensoriumError):
    """The request is past a stated limit."""


class Unauthenticated(SensoriumError):
    """No credential, or one that does not hold."""


class PermissionDenied(SensoriumError):
    """The credential holds, but not for this."""


class NotFound(SensoriumError):
    """The tenant has no such thing."""


class AlreadyExists(SensoriumError):
    """The id is taken by something else."""


class OutOfOrder(SensoriumError):
    """The right message at the wrong moment."""


class TimedOut(SensoriumError):
    """The caller took longer than it may to send what it began."""


class Overloaded(SensoriumError):
    """Too much at once; it works after ``retry_after_s``."""


class Unavailable(SensoriumError):
    """A part of the platform cannot be reached or is not ready."""


class InternalFailure(SensoriumError):
    """Our fault. The cause is in the server's log, under the trace id."""
