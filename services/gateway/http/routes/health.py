"""``/healthz`` and ``/readyz``: for probes, which have no key."""

from typing import Any, Literal

from services.gateway.http.front import FrontDep
from services.gateway.http.router import Router
from services.gateway.http.schema import Schema

router = Router(tags=["health"])

NO_KEY: dict[str, Any] = {"security": [{}]}


class Health(Schema):
    """That it is well."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", openapi_extra=NO_KEY)
async def get_health() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz", openapi_extra=NO_KEY)
async def get_readiness(front: FrontDep) -> Health:
    """Models are loaded and requests are taken: not before, and not while it shuts down."""
    front.check_ready()
    return Health()
