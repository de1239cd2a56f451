"""Routes of one group of paths."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute


class Router(APIRouter):
    """What can be read with GET answers HEAD too (RFC 9110, section 9.3.2): the server leaves the
    body out. OpenAPI tells of GET alone."""

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """See ``APIRouter``."""
        super().add_api_route(path, endpoint, **options)
        if options.get("methods") == ["GET"]:
            options.update(methods=["HEAD"], include_in_schema=False)
            super().add_api_route(path, endpoint, **options)


def operation_id(route: APIRoute) -> str:
    """The name of a route's function as OpenAI spells its operations: ``createChatCompletion``.
    Generated clients take their names from it."""
    first, *rest = route.name.split("_")
    return first + "".join(word.capitalize() for word in rest)
