"""The web page: static files, without a build step."""

from pathlib import Path

from fastapi import Request
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

from services.gateway.http.router import Router

router = Router(include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "page"
_files = StaticFiles(directory=FOLDER)


@router.get("/")
async def get_page(request: Request) -> Response:
    """The page."""
    return await _serve("index.html", request)


@router.get("/page/{path:path}")
async def get_file(path: str, request: Request) -> Response:
    """A part of the page."""
    return await _serve(path, request)


async def _serve(path: str, request: Request) -> Response:
    response = await _files.get_response(path, request.scope)
    # Kept, and asked for by its ETag each time: a new version of the server is a new page.
    response.headers["Cache-Control"] = "no-cache"
    return response
