"""Seconds as protobuf has them."""

from google.protobuf.duration_pb2 import Duration


def to_duration(seconds: float) -> Duration:
    """Seconds, rounded to a microsecond."""
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1e6))
    return duration


def to_seconds(duration: Duration) -> float:
    """The other way, to a microsecond."""
    return duration.ToMicroseconds() / 1e6
