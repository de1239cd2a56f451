"""The file of a form on its way into the media store, while the form is still being sent."""

import contextlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2, upload_pb2

from services.gateway.calls import GatewayCalls
from services.gateway.http.forms import FormFields
from services.gateway.http.multipart import FormFile, FormPart
from services.gateway.upload import UploadEvent, UploadMessage
from services.runtime.calls import CallScope
from services.runtime.errors import InvalidInput
from services.runtime.status import from_item_error


@dataclass(frozen=True, slots=True)
class Labels:
    """What a client says of a file, to find it by."""

    tags: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def new_asset_id() -> str:
    """An id for a file whose client chooses none."""
    return f"file-{uuid.uuid4().hex}"


class FormUpload:
    """A form with one file, whose fields come before it, after it, or both.

    ``fields`` are those that have come so far: all, once the file is announced as finished.
    """

    def __init__(self, parts: AsyncGenerator[FormPart, None]) -> None:
        self._parts = parts
        self._file: FormFile | None = None
        self.fields = FormFields()
        self.asset_id = new_asset_id()

    async def open(self) -> None:
        """Read up to the file. Raises InvalidInput FILE_MISSING, and as ``read_form``."""
        async for part in self._parts:
            if isinstance(part, FormFile):
                self._file = _the_file(part)
                return
            self.fields.add(part)
        raise InvalidInput("FILE_MISSING", "The form has no file.", subject="file")

    async def messages(self, labels: Labels) -> AsyncIterator[UploadMessage]:
        """The file as an upload. It is finished only when the form was whole: what ends early
        or is malformed leaves nothing behind. Raises as ``read_form``."""
        file = self._file
        assert file is not None
        yield UploadMessage(
            asset_start=upload_pb2.AssetStart(
                asset_id=self.asset_id,
                name=file.filename,
                tags=labels.tags,
                metadata=labels.metadata,
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
            self.fields.add(part)
        finish = upload_pb2.AssetFinish(asset_id=self.asset_id, size_bytes=offset)
        yield UploadMessage(asset_finish=finish)


def _the_file(part: FormFile) -> FormFile:
    if part.name != "file":
        raise InvalidInput("FIELD_UNKNOWN", "The file's part is called file.", subject=part.name)
    return part


async def store(
    calls: GatewayCalls,
    scope: CallScope,
    config: gateway_pb2.UploadConfig,
    messages: AsyncIterator[UploadMessage],
) -> AsyncGenerator[UploadEvent, None]:
    """Events of the upload of one file, up to the end of its indexing. Raises SensoriumError
    for what is wrong with the file, naming ``file``."""
    asset: media_pb2.Asset | None = None
    async with contextlib.aclosing(calls.upload(scope, config, messages)) as events:
        async for event in events:
            match event.WhichOneof("event"):
                case "asset":
                    asset = event.asset
                case "item_error":
                    error = from_item_error(event.item_error)
                    # A stored file whose indexing failed for now is indexed later; a piece
                    # of it that cannot be understood leaves the rest.
                    whole = "/" not in event.item_error.item_id
                    if whole and (asset is None or isinstance(error, InvalidInput)):
                        error.subject = "file"
                        raise error
            yield event
