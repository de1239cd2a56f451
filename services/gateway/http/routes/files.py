"""``/v1/files``: stored assets, sent, listed, read and deleted."""

import contextlib
from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import Field, Json
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.calls import GatewayCalls
from services.gateway.fields import named
from services.gateway.http.body.forms import form_body
from services.gateway.http.body.multipart import read_form
from services.gateway.http.files.objects import PURPOSE, PURPOSE_DEFAULT, FileObject, file_object
from services.gateway.http.files.uploads import FormUpload, Labels, store
from services.gateway.http.front import FrontDep
from services.gateway.http.router import Router
from services.gateway.http.schema import FileId, Language, Schema, Unsupported
from services.gateway.http.sse import while_there
from services.runtime.calls import CallScope

router = Router(prefix="/v1/files", tags=["files"])

PAGE_SIZE_MAX = 1000
# What the contract calls a field -> what the form does.
FIELDS = {
    "config.perception.language": "language",
    "asset_finish.tags": "tags",
    "asset_finish.metadata": "metadata",
}


class FileForm(Schema):
    """The fields beside a file."""

    purpose: str = Field(PURPOSE_DEFAULT, min_length=1, max_length=64)
    """What it is for; kept, and without effect."""
    tags: Json[list[str]] = Field([], json_schema_extra={"examples": ['["harbour", "2024"]']})
    """JSON list of words to find it by; at most 32 of 64 characters."""
    metadata: Json[dict[str, str]] = Field({}, json_schema_extra={"examples": ['{"a": "b"}']})
    """JSON object of what else is known of it and can be filtered by; at most 31 entries, keys
    [a-z0-9_.-]{1,64}, values of at most 256 characters."""
    language: Language = ""
    """ISO 639-1 code of the speech; "auto" detects it; empty means "en"."""
    expires_after: Annotated[str, Unsupported] = Field(
        "", validation_alias="expires_after[anchor]", json_schema_extra={"maxLength": 0}
    )
    """Only empty: files stay until they are deleted, or the operator's retention ends."""


class FileList(Schema):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Schema):
    """A file is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


@router.post("", openapi_extra=form_body(FileForm))
async def create_file(request: Request, front: FrontDep) -> FileObject:
    """Store a file of any supported type, understand it, and make it searchable. The answer comes
    when that is done; the bytes are taken in while they come."""
    async with (
        front.enter(request, "StreamingUpload") as scope,
        contextlib.aclosing(read_form(request)) as parts,
    ):
        upload = FormUpload(parts, FileForm)
        async with while_there(request, upload.body_read):
            await upload.open()
            perception = gateway_pb2.PerceptionOptions(language=upload.request.language)
            config = gateway_pb2.UploadConfig(perception=perception)
            events = store(front.calls, scope, config, upload.messages(_labels))
            with named(FIELDS):
                async with contextlib.aclosing(events):
                    async for _ in events:
                        pass
        return file_object(await _asset(front.calls, scope, upload.asset_id))


@router.get("")
async def list_files(
    request: Request,
    front: FrontDep,
    after: Annotated[FileId, Query()] = "",
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    order: Literal["desc"] = "desc",
    purpose: Annotated[str, Query(max_length=64)] = "",
) -> FileList:
    """A page of files, newest first, at most 1000: those that come ``after`` one of them."""
    async with front.enter(request, "ListAssets") as scope:
        wanted = min(limit, PAGE_SIZE_MAX)
        found: list[media_pb2.Asset] = []
        ask = gateway_pb2.ListAssetsRequest(page_size=wanted, after_asset_id=after)
        while True:
            page = await front.calls.list_assets(scope, ask)
            found += [
                asset
                for asset in page.assets
                if not purpose or asset.metadata.get(PURPOSE, PURPOSE_DEFAULT) == purpose
            ]
            more = bool(page.next_page_token)
            if len(found) >= wanted or not more:
                break
            ask = gateway_pb2.ListAssetsRequest(page_token=page.next_page_token)
        files = [file_object(asset) for asset in found[:wanted]]
        return FileList(
            data=files,
            first_id=files[0].id if files else None,
            last_id=files[-1].id if files else None,
            has_more=more or len(found) > wanted,
        )


@router.get("/{file_id}")
async def retrieve_file(file_id: str, request: Request, front: FrontDep) -> FileObject:
    """One file, with its renditions."""
    async with front.enter(request, "GetAsset") as scope:
        return file_object(await _asset(front.calls, scope, file_id))


@router.delete("/{file_id}")
async def delete_file(file_id: str, request: Request, front: FrontDep) -> FileDeleted:
    """Take a file out of everything: it is gone at once."""
    async with front.enter(request, "DeleteAsset") as scope:
        await front.calls.delete_asset(scope, gateway_pb2.DeleteAssetRequest(asset_id=file_id))
        return FileDeleted(id=file_id)


async def _asset(calls: GatewayCalls, scope: CallScope, asset_id: str) -> media_pb2.Asset:
    found = await calls.get_asset(scope, gateway_pb2.GetAssetRequest(asset_id=asset_id))
    return found.asset


def _labels(form: FileForm) -> Labels:
    return Labels(form.tags, {**form.metadata, PURPOSE: form.purpose})
