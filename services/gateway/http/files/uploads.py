"""The file of a form on its way into the media store, while the form is still being sent."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import upload_pb2

from services.gateway.calls import GatewayCalls
from services.gateway.http.body.forms import FormFields
from services.gateway.http.body.multipart import FormFile, FormPart
from services.gateway.http.chat.media import new_asset_id
from services.gateway.upload import UploadEvent, UploadMessage
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput, NotFound
from services.runtime.status import from_item_error

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Labels:
    """What a client says of a file, to find it by."""

    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


class FormUpload(Generic[ModelT]):
    """A form with one file, whose fields come before it, after it, or both."""

    request: ModelT
    """The fields that have come so far: all, once the file is finished."""

    def __init__(self, parts: AsyncGenerator[FormPart, None], model: type[ModelT]) -> None:
        self.asset_id = new_asset_id()
        self.body_read = asyncio.Event()
        """Set once all of it is."""
        self._parts = parts
        self._model = model
        self._fields = FormFields()
        self._file: FormFile | None = None

    async def open(self) -> None:
        """Read up to the file. Raises InvalidInput FILE_MISSING, FIELD_INVALID, and as
        ``read_form``."""
        async for part in self._parts:
            if isinstance(part, FormFile):
                if part.name != "file":
                    raise InvalidInput(
                        "FILE_UNKNOWN", "The part of the file is called file.", subject=part.name
                    )
                self._file = part
                self.request = self._fields.read(self._model)
                return
            self._fields.add(part)
        raise InvalidInput("FILE_MISSING", "The form has no file.", subject="file")

    async def messages(
        self, labels: Callable[[ModelT], Labels]
    ) -> AsyncGenerator[UploadMessage, None]:
        """The file as an upload. It is finished only when the form was whole and all its fields
        good: what ends early leaves nothing behind. Raises as ``open``."""
        file = self._file
        assert file is not None
        yield UploadMessage(
            asset_start=upload_pb2.AssetStart(
                asset_id=self.asset_id, name=file.filename, discard_unfinished=True
            )
        )
        offset = 0
        async for data in file.chunks:
            chunk = upload_pb2.MediaChunk(asset_id=self.asset_id, offset=offset, data=data)
            yield UploadMessage(chunk=chunk)
            offset += len(data)
        async for part in self._parts:
            if isinstance(part, FormFile):
                raise InvalidInput("TOO_MANY_FILES", "Send one file.", subject=part.name)
            self._fields.add(part)
        self.body_read.set()
        self.request = self._fields.read(self._model)
        found = labels(self.request)
        yield UploadMessage(
            asset_finish=upload_pb2.AssetFinish(
                asset_id=self.asset_id,
                size_bytes=offset,
                tags=found.tags,
                metadata=found.metadata,
            )
        )


async def discard(calls: GatewayCalls, scope: CallScope, asset_id: str) -> None:
    """Keep nothing of a file that turned out to be of no use to its request, whether or not it is
    stored by now."""
    with contextlib.suppress(NotFound):
        await calls.delete_asset(scope, gateway_pb2.DeleteAssetRequest(asset_id=asset_id))


async def store(
    calls: GatewayCalls,
    scope: CallScope,
    config: gateway_pb2.UploadConfig,
    messages: AsyncIterator[UploadMessage],
    *,
    words_awaited: bool = False,
) -> AsyncGenerator[UploadEvent, None]:
    """Events of the upload of one file, up to the end of its indexing. Raises SensoriumError
    for what is wrong with the file, naming ``file``."""
    committed = False
    async with contextlib.aclosing(
        calls.upload(scope, config, messages, words_awaited=words_awaited)
    ) as events:
        async for event in events:
            kind = event.WhichOneof("event")
            committed = committed or kind == "asset"
            if kind == "item_error":
                error = from_item_error(event.item_error)
                # A piece that cannot be understood leaves the rest; a file whose indexing failed
                # for now is stored, and indexed later.
                is_file = "/" not in event.item_error.item_id
                if is_file and (isinstance(error, InvalidInput) or not committed):
                    error.subject = "file"
                    raise error
            yield event
