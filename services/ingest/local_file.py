"""The bytes of a stored asset for a decoder, which needs a file."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from services.ingest.records import AssetRecord
from services.ingest.store import MediaStore
from services.runtime.errors import InternalFailure

OnDisk = Callable[..., Awaitable[Any]]
"""Runs blocking work in a thread."""


@contextlib.asynccontextmanager
async def local_file(
    store: MediaStore, on_disk: OnDisk, tenant: str, record: AssetRecord
) -> AsyncIterator[Path]:
    """The bytes of an asset as a local file, while the block lasts.

    Whoever opened it reads on when the asset is deleted meanwhile.

    Raises:
        NotFound: ``ASSET_NOT_FOUND``, when it was deleted before.
        InternalFailure: ``CONTENT_DAMAGED``, when the bytes of one that is there are gone.
    """
    held = contextlib.ExitStack()
    try:
        file = store.blob_file(tenant, record.sha256)
        try:
            path = await on_disk(held.enter_context, file)
        except FileNotFoundError:
            await on_disk(store.get, tenant, record.asset_id)
            raise InternalFailure(
                "CONTENT_DAMAGED", "The store has lost the bytes of this asset."
            ) from None
        yield path
    finally:
        await on_disk(held.close)
