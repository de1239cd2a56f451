"""What each tenant may take, by resource and window of time."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from pydantic import ConfigDict, PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from services.runtime.json_files import read_json_file

_STRICT = ConfigDict(extra="forbid")


class Window(enum.StrEnum):
    """How long a limit counts before it starts anew, from the first use on. A month is 30 days."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def is_quota(self) -> bool:
        """Whether it bounds how much is used rather than how fast."""
        return self in (Window.DAY, Window.MONTH)


class Resource(enum.StrEnum):
    """What is counted."""

    REQUESTS = "requests"
    """Calls; on a stream each question and each search."""
    TOKENS = "tokens"
    """Of prompts and answers together."""
    MEDIA_SECONDS = "media_seconds"
    """Of sound and video that is perceived."""
    BYTES = "bytes"
    """Of media that comes in."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So much of a resource in a window."""

    resource: Resource
    window: Window
    amount: float

    def __str__(self) -> str:
        return f"{self.amount:,g} {self.resource.replace('_', ' ')} per {self.window}"


@dataclass(frozen=True, slots=True, config=_STRICT)
class TenantLimits:
    """The limits of one tenant; what is not named is not limited."""

    requests: Mapping[Window, PositiveInt] = field(default_factory=dict)
    tokens: Mapping[Window, PositiveInt] = field(default_factory=dict)
    media_seconds: Mapping[Window, PositiveFloat] = field(default_factory=dict)
    bytes: Mapping[Window, PositiveInt] = field(default_factory=dict)
    turns: PositiveInt | None = None
    """Questions answered at once, by each gateway."""

    def of(self, resource: Resource) -> Iterator[Limit]:
        """The limits of a resource, the shortest window first."""
        amounts: Mapping[Window, float] = getattr(self, resource)
        return (Limit(resource, each, amounts[each]) for each in Window if each in amounts)


@dataclass(frozen=True, slots=True, config=_STRICT)
class Limits:
    """The limits of all tenants; ``default`` is for each of those that are not named."""

    default: TenantLimits = field(default_factory=TenantLimits)
    tenants: Mapping[str, TenantLimits] = field(default_factory=dict)

    def of(self, tenant_id: str) -> TenantLimits:
        """The limits of a tenant."""
        return self.tenants.get(tenant_id, self.default)


def load_limits(path: Path | None) -> Limits | None:
    """The limits of a JSON file; None without one: then nothing is limited.

    Raises:
        InvalidInput: LIMITS_FILE_INVALID, naming the field.
    """
    return None if path is None else read_json_file(Limits, path, "limits_file")
