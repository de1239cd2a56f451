"""``/v1/search``: moments, regions and passages, by words, pictures and sound."""

import asyncio
from collections.abc import Sequence

from fastapi import Request
from sensorium.gateway.v1 import gateway_pb2

from services.gateway.fields import named
from services.gateway.http.body.json_body import read_json
from services.gateway.http.files.objects import content_url
from services.gateway.http.front import Front, FrontDep
from services.gateway.http.openapi import json_body
from services.gateway.http.router import Router
from services.gateway.http.search.request import SearchBody, read_search
from services.gateway.http.search.response import SearchResponse, found
from services.gateway.http.sse import while_there
from services.runtime.calls import CallScope
from services.runtime.errors import NotFound, OutOfOrder

router = Router(prefix="/v1/search", tags=["search"])


@router.post("", openapi_extra=json_body(SearchBody))
async def search(request: Request, front: FrontDep) -> SearchResponse:
    """Find files across modalities, each with the places where it matched."""
    async with front.enter(request, "Search") as scope:
        body = await read_json(request, SearchBody)
        async with while_there(request):
            with named(body.names()):
                wanted = await read_search(body, front.remote)
                results = (await front.calls.search(scope, wanted)).results
            urls = await _urls(front, scope, [result.asset.asset_id for result in results])
        return SearchResponse(results=map(found, results, urls))


async def _urls(front: Front, scope: CallScope, asset_ids: Sequence[str]) -> list[str]:
    """Where the bytes of assets are: in a content delivery network or an object store if there
    are URLs of those, else here."""

    async def outside(asset_id: str) -> str:
        wanted = gateway_pb2.GetAssetUrlRequest(asset_id=asset_id)
        try:
            return (await front.calls.get_asset_url(scope, wanted)).url
        except NotFound:
            # Deleted since it was found.
            return content_url(asset_id)

    try:
        # One asks for all whether there are such URLs.
        first = [await outside(asset_id) for asset_id in asset_ids[:1]]
    except OutOfOrder:
        return [content_url(asset_id) for asset_id in asset_ids]
    return first + await asyncio.gather(*map(outside, asset_ids[1:]))
