"""One try at some files, over one stream: look up what is there, send the rest."""

import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from sensorium_client import events
from sensorium_client.bulk.hashes import Hashes
from sensorium_client.bulk.outcome import (
    FILE_CHANGED,
    Failure,
    FileOutcome,
    FileProgress,
    FileStatus,
    failure,
    failure_of,
)
from sensorium_client.bulk.walk import FoundFile
from sensorium_client.client import Client
from sensorium_client.errors import SensoriumClientError
from sensorium_client.media import Labels, MediaFile

ASSETS_AT_ONCE = 16
"""Of one stream. What waits together at the server is encoded and committed together."""
_NAME_CHARACTERS_MAX = 255

_NOT_INDEXED = Failure(
    "UNAVAILABLE", "NOT_INDEXED", "The stream ended before it was indexed.", True
)


@dataclass(frozen=True)
class SendOptions:
    """What goes for all files that are sent together."""

    language: str = ""
    """Of the speech; as in ``AskOptions``."""
    labels: Labels = field(default_factory=Labels)


def asset_id_of(relative_path: str, sha256: str) -> str:
    """The id of a file: the same place and bytes give the same id, whoever sends it and when.

    Ids belong to a tenant, so those of two tenants never meet.
    """
    return hashlib.sha256(f"{relative_path}\0{sha256}".encode()).hexdigest()


def name_of(file: FoundFile) -> str:
    """The name that the server is told: the end of a path that is too long says more."""
    return file.relative_path[-_NAME_CHARACTERS_MAX:]


class Attempt:
    """Tries files, at most about a hundred. Each gets one outcome, failures included.

    Raises:
        SensoriumClientError: nothing that trying again would help.
    """

    def __init__(self, client: Client, options: SendOptions, hashes: Hashes) -> None:
        self._client = client
        self._hashes = hashes
        self._options = options
        self._open: dict[str, FoundFile] = {}
        self._warnings: dict[str, list[str]] = {}

    async def run(
        self, files: Sequence[FoundFile]
    ) -> AsyncGenerator[FileOutcome | FileProgress, None]:
        """The outcomes as they come."""
        media: list[MediaFile] = []
        for file in files:
            try:
                sha256 = await self._hashes.sha256(file)
            except OSError as error:
                yield FileOutcome(file, FileStatus.FAILED, failure=failure_of(error))
                continue
            asset_id = asset_id_of(file.relative_path, sha256)
            if asset_id in self._open:
                # The same place in another folder, with the same bytes.
                yield FileOutcome(file, FileStatus.SKIPPED, asset_id)
                continue
            self._open[asset_id] = file
            media.append(
                MediaFile(
                    file.path,
                    name_of(file),
                    asset_id,
                    self._options.labels.tags,
                    self._options.labels.metadata,
                    sha256=sha256,
                )
            )
        try:
            fresh, known = await self._split_known(media)
            for item, asset_id in known:
                yield FileOutcome(self._open.pop(item.asset_id), FileStatus.SKIPPED, asset_id)
            if fresh:
                async with aclosing(self._send(fresh)) as sent:
                    async for outcome in sent:
                        yield outcome
            reason = _NOT_INDEXED
        except SensoriumClientError as error:
            reason = failure_of(error)
            if not reason.transient:
                raise
        for asset_id, file in self._open.items():
            yield FileOutcome(file, FileStatus.FAILED, asset_id, reason)

    async def _split_known(
        self, media: Sequence[MediaFile]
    ) -> tuple[list[MediaFile], list[tuple[MediaFile, str]]]:
        """What to send, and what is there with the id that it has."""
        stored = await self._client.find_assets(
            [item.sha256 for item in media], [item.asset_id for item in media]
        )
        # A file that was stored in another way, such as with a question, has an id of its own.
        ids = {asset.asset_id: asset.asset_id for asset in stored if asset.indexed}
        by_content = {
            (asset.sha256, asset.description.name): asset.asset_id
            for asset in stored
            if asset.indexed
        }
        fresh, known = [], []
        for item in media:
            found = ids.get(item.asset_id) or by_content.get((item.sha256, item.name))
            if found:
                known.append((item, found))
            else:
                fresh.append(item)
        return fresh, known

    async def _send(
        self, media: Sequence[MediaFile]
    ) -> AsyncGenerator[FileOutcome | FileProgress, None]:
        stream = self._client.send(media, self._options.language, ASSETS_AT_ONCE)
        try:
            async with aclosing(stream):
                async for event in stream:
                    told = self._note(event)
                    if told is not None:
                        yield told
        except OSError as error:
            # It went away after it was hashed. The others are tried again.
            for item in media:
                if str(item.path) == error.filename and item.asset_id in self._open:
                    file = self._open.pop(item.asset_id)
                    yield FileOutcome(file, FileStatus.FAILED, item.asset_id, failure_of(error))

    def _note(self, event: events.Event) -> FileOutcome | FileProgress | None:
        match event:
            case events.ChunkAck() if event.asset_id in self._open:
                return FileProgress(self._open[event.asset_id], event.received_bytes)
            case events.AssetIndexed() if event.asset_id in self._open:
                warnings = tuple(self._warnings.get(event.asset_id, ()))
                file = self._open.pop(event.asset_id)
                return FileOutcome(file, FileStatus.STORED, event.asset_id, warnings=warnings)
            case events.ItemFailed() if event.item_id in self._open:
                told = failure(event.code, event.reason, event.message)
                file = self._open.pop(event.item_id)
                if told.reason == FILE_CHANGED:
                    self._hashes.forget(file)
                return FileOutcome(file, FileStatus.FAILED, event.item_id, told)
            case events.ItemFailed():
                # Of a segment: the rest of the file is stored.
                asset_id = event.item_id.partition("/")[0]
                self._warnings.setdefault(asset_id, []).append(event.message)
            case events.Moderation(action="flag"):
                flag = f"flagged: {event.category} {event.score:.2f}"
                self._warnings.setdefault(event.asset_id, []).append(flag)
            case _:
                pass
        return None
