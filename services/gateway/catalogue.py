"""Stored assets, as ingest keeps them and as the index knows them."""

from collections.abc import AsyncIterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from sensorium.ingest.v1 import ingest_pb2
from sensorium.media.v1 import media_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.stages import Stages
from services.runtime.calls import CallScope, call_unary, read_stage
from services.runtime.errors import InvalidInput

ASSETS_PER_TURN_MAX = 32
SEARCHED_ASSETS_MAX = 5000
FOUND_ASSETS_MAX = 1000
"""Of one call to ingest."""


def canonical_id(asset: media_pb2.Asset) -> str:
    """The id by which the index knows the bytes of an asset."""
    return asset.duplicate_of or asset.asset_id


async def get_asset(stages: Stages, scope: CallScope, asset_id: str) -> media_pb2.Asset:
    """The record of a committed asset. Raises NotFound."""
    request = ingest_pb2.GetAssetRequest(asset_id=asset_id)
    response = await call_unary(stages.ingest.GetAsset, request, scope)
    asset: media_pb2.Asset = response.asset
    return asset


async def get_assets(
    stages: Stages, scope: CallScope, asset_ids: Sequence[str]
) -> list[media_pb2.Asset]:
    """The records of the assets of a turn. Raises NotFound, InvalidInput TOO_MANY_ASSETS."""
    if len(asset_ids) > ASSETS_PER_TURN_MAX:
        raise InvalidInput(
            "TOO_MANY_ASSETS",
            f"At most {ASSETS_PER_TURN_MAX} assets can be consulted in one turn.",
            subject="asset_ids",
        )
    return [await get_asset(stages, scope, asset_id) for asset_id in dict.fromkeys(asset_ids)]


async def find_assets_by_id(
    stages: Stages, scope: CallScope, asset_ids: Sequence[str]
) -> dict[str, media_pb2.Asset]:
    """The records of committed assets by their ids; those that there are not are left out."""
    found: dict[str, media_pb2.Asset] = {}
    unique = list(dict.fromkeys(asset_ids))
    for start in range(0, len(unique), FOUND_ASSETS_MAX):
        part = unique[start : start + FOUND_ASSETS_MAX]
        request = ingest_pb2.FindAssetsRequest(asset_ids=part)
        response = await call_unary(stages.ingest.FindAssets, request, scope)
        found |= {asset.asset_id: asset for asset in response.assets}
    return found


async def canonical_ids(stages: Stages, scope: CallScope, asset_ids: Sequence[str]) -> list[str]:
    """The ids by which the index knows assets; one that is unknown stays as it is. Raises
    InvalidInput TOO_MANY_ASSETS."""
    if len(asset_ids) > SEARCHED_ASSETS_MAX:
        raise InvalidInput(
            "TOO_MANY_ASSETS",
            f"At most {SEARCHED_ASSETS_MAX} assets can be named in one search.",
            subject="asset_ids",
        )
    if not asset_ids:
        return []
    known = await find_assets_by_id(stages, scope, asset_ids)
    return [canonical_id(known[each]) if each in known else each for each in asset_ids]


async def list_assets(
    stages: Stages, scope: CallScope, before: Timestamp | None = None
) -> AsyncIterator[media_pb2.Asset]:
    """All committed assets of a tenant, or those from before a time, newest first."""
    page_token = ""
    while True:
        request = ingest_pb2.ListAssetsRequest(page_size=1000, page_token=page_token, before=before)
        page = await call_unary(stages.ingest.ListAssets, request, scope)
        for asset in page.assets:
            yield asset
        page_token = page.next_page_token
        if not page_token:
            return


async def every_tenant(stages: Stages) -> list[CallScope]:
    """On behalf of each tenant that ever stored anything, for the upkeep of what it stored."""
    request = ingest_pb2.ListTenantsRequest()
    response = await call_unary(stages.ingest.ListTenants, request, CallScope())
    return [CallScope(tenant_id) for tenant_id in response.tenant_ids]


async def list_documents(
    stages: Stages, scope: CallScope, *asset_ids: str
) -> list[search_pb2.Document]:
    """What the index holds of assets, at most 100, in order of time within each; nothing of
    one that is not indexed."""
    request = search_pb2.ListDocumentsRequest(asset_ids=asset_ids)
    return [
        response.document
        async for response in read_stage(stages.search.ListDocuments, request, scope)
    ]


async def delete_documents(stages: Stages, scope: CallScope, asset_ids: Sequence[str]) -> None:
    """Have the index hold nothing of assets. The caller holds ``Indexer.writing`` of each."""
    request = search_pb2.DeleteDocumentsRequest(asset_ids=asset_ids)
    await call_unary(stages.search.DeleteDocuments, request, scope)
