"""The client: one connection to a gateway, and what can be asked of it."""

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from sensorium.gateway.v1 import gateway_pb2, gateway_pb2_grpc

from sensorium_client import checks, decode, events
from sensorium_client.calls import begin
from sensorium_client.channel import (
    DEFAULT_ADDRESS,
    NO_CREDENTIALS,
    CallContext,
    Credentials,
    ServerState,
    open_channel,
    server_state,
)
from sensorium_client.conversation import Conversation
from sensorium_client.duplex import DuplexCall
from sensorium_client.errors import SensoriumClientError, from_rpc_error
from sensorium_client.lasting import ConversationCalls
from sensorium_client.media import Media, MediaFile, as_media, file_sha256
from sensorium_client.options import AskOptions
from sensorium_client.search_calls import SearchCalls
from sensorium_client.stored_files import StoredFiles
from sensorium_client.uploads import UploadSession
from sensorium_client.usage_calls import UsageCalls

_FILES_A_STREAM = 64
_LOOKUPS_A_CALL = 1000
_DEFAULTS = AskOptions()


class Client(StoredFiles, SearchCalls, ConversationCalls, UsageCalls):
    """A typed async client of the gateway.

        async with Client("127.0.0.1:50051") as client:
            async for event in client.ask("What is this?", files=["photo.jpg"]):
                ...

    A server that asks for credentials gets them by ``Credentials(api_key=...)``.

    Every method raises SensoriumClientError for what the server or the
    connection reports, and OSError for a file that cannot be read.
    """

    def __init__(
        self, address: str = DEFAULT_ADDRESS, credentials: Credentials = NO_CREDENTIALS
    ) -> None:
        """``address`` is host:port, or https://host:port for TLS."""
        self.address = address
        self._channel = open_channel(address, credentials)
        super().__init__(gateway_pb2_grpc.GatewayServiceStub(self._channel), credentials)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all calls and the connection."""
        await self._channel.close()

    async def is_serving(self, timeout_s: float = 1.0) -> bool:
        """Whether a gateway answers and is ready."""
        return await self.server_state(timeout_s) is ServerState.SERVING

    async def server_state(self, timeout_s: float = 1.0) -> ServerState:
        """Whether a gateway answers, and whether it is ready."""
        return await server_state(self._channel, timeout_s)

    @asynccontextmanager
    async def converse(
        self,
        options: AskOptions = _DEFAULTS,
        context: CallContext | None = None,
        *,
        conversation_id: str = "",
    ) -> AsyncIterator[Conversation]:
        """Open a conversation. When the block ends, however it ends, so does the stream.

        ``context`` is the trace it belongs to; without it a new one begins.
        ``conversation_id`` is that of a lasting one, which it then continues.
        """
        context = context or CallContext()
        call = DuplexCall(self._stub.StreamingConverse(metadata=self._metadata(context)))
        config = gateway_pb2.ConverseConfig(
            answer=options.answer_message(),
            perception=options.perception_message(),
            conversation_id=conversation_id,
        )
        try:
            await begin(call, gateway_pb2.StreamingConverseRequest(config=config))
            yield Conversation(call, context)
        finally:
            call.cancel()

    async def ask(
        self,
        question: str,
        files: Iterable[Media | Path | str] = (),
        asset_ids: Iterable[str] = (),
        options: AskOptions = _DEFAULTS,
        context: CallContext | None = None,
        *,
        conversation_id: str = "",
    ) -> AsyncGenerator[events.Event, None]:
        """Ask one question over files, stored assets or neither; the events of the answer.

        With the id of a lasting conversation it continues that one, whose media need not
        be sent or named again.

        Files that the server already has are named by their asset id instead of
        sent (``already_stored``), unless ``options.reuse_stored`` is off. The
        iterator ends after ``summary``, when the files are indexed too. Leaving
        it early - wrap it in ``contextlib.aclosing`` - cancels the call.
        """
        media = [as_media(file) for file in files]
        stored_ids = list(asset_ids)
        if options.reuse_stored:
            media, known = await self._split_known(media)
            for event in known:
                yield event
                stored_ids.append(event.asset_id)
        async with self.converse(options, context, conversation_id=conversation_id) as conversation:
            async with aclosing(conversation.ask(question, media, stored_ids)) as turn:
                async for turn_event in turn:
                    yield turn_event
            await conversation.finish()
            async for last_event in conversation.events():
                yield last_event

    async def upload(
        self,
        files: Sequence[MediaFile | Path | str],
        language: str = "",
        announce: Callable[[MediaFile], None] | None = None,
    ) -> AsyncGenerator[events.Event, None]:
        """Store and index files. Known bytes are skipped; interrupted uploads go on.

        The asset id of a file is the SHA-256 of its bytes, so a second run finds
        what the first one began. A bad file gives ``item_error`` with that id
        and the others go on. ``announce`` is told of each file, with that id,
        before it is sent.
        """
        paths = [MediaFile(Path(file)) if isinstance(file, str | Path) else file for file in files]
        for start in range(0, len(paths), _FILES_A_STREAM):
            fresh, known = await self._split_known(paths[start : start + _FILES_A_STREAM])
            for event in known:
                yield event
            # Equal files have equal ids: the bytes travel once.
            by_id: dict[str, MediaFile] = {}
            repeats: list[MediaFile] = []
            for file in fresh:
                if isinstance(file, MediaFile):
                    file = dataclasses.replace(file, asset_id=file.asset_id or file.sha256)
                    if by_id.setdefault(file.asset_id, file) is not file:
                        repeats.append(file)
            for file in by_id.values():
                if announce is not None:
                    announce(file)
            if not by_id:
                continue
            stored: dict[str, str] = {}
            async with aclosing(self.send(list(by_id.values()), language)) as stream:
                async for upload_event in stream:
                    if isinstance(upload_event, events.AssetStored):
                        stored[upload_event.asset.asset_id] = upload_event.asset.content_id
                    yield upload_event
            for file in repeats:
                if file.asset_id in stored:
                    yield _already_stored(file, stored[file.asset_id])

    async def send(
        self, files: Sequence[MediaFile], language: str = "", assets_at_once: int = 4
    ) -> AsyncGenerator[events.Event, None]:
        """Send files that have an id and a hash over one stream, without asking what is known.

        ``assets_at_once`` of them, at most 64, are on their way at the same time.
        """
        call = DuplexCall(self._stub.StreamingUpload(metadata=self._metadata()))
        config = gateway_pb2.UploadConfig(
            perception=gateway_pb2.PerceptionOptions(language=language)
        )
        try:
            await begin(call, gateway_pb2.StreamingUploadRequest(config=config))
            async with aclosing(UploadSession(call, files, assets_at_once).run()) as stream:
                async for event in stream:
                    yield event
        finally:
            call.cancel()

    async def stored_asset_id(self, path: Path | str, language: str = "") -> str:
        """The id under which the server knows a file, sent first if it does not know it yet."""
        asset_id = ""
        async for event in self.upload([path], language):
            match event:
                case events.AlreadyStored():
                    asset_id = event.asset_id
                case events.AssetStored():
                    asset_id = event.asset.content_id
                case events.ItemFailed():
                    # Of a segment it is no reason to stop, unless nothing is stored.
                    failure = SensoriumClientError(
                        event.code, event.reason, event.message, subject=Path(path).name
                    )
                    if "/" not in event.item_id:
                        raise failure
        return asset_id

    async def transcribe(
        self,
        file: Path | str | None = None,
        *,
        asset_id: str = "",
        language: str = "",
        word_times: bool = False,
        flagged: Callable[[events.Moderation], None] | None = None,
    ) -> AsyncGenerator[events.Transcript, None]:
        """Write out the speech of a file or a stored asset, in order of time.

        ``flagged`` is called with what the server's moderation policy flags in it.
        """
        asset_id = asset_id or await self.stored_asset_id(file or "", language)
        request = gateway_pb2.TranscribeRequest(
            asset_id=asset_id, language=language, word_times=word_times
        )
        call = self._stub.Transcribe(request, metadata=self._metadata())
        try:
            async for response in call:
                if not response.HasField("moderation"):
                    yield decode.transcript(response, asset_id=asset_id)
                elif flagged is not None:
                    flagged(decode.moderation(response.moderation))
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
            if file and failure.subject == "asset_id":
                failure.subject = Path(file).name
            raise failure from None
        finally:
            call.cancel()

    async def caption(
        self, file: Path | str | None = None, *, asset_id: str = "", detailed: bool = False
    ) -> events.Caption:
        """Describe a file or a stored asset in a sentence, or in detail."""
        request = gateway_pb2.CaptionRequest(
            asset_id=asset_id or await self.stored_asset_id(file or ""),
            style=(
                gateway_pb2.CAPTION_STYLE_DETAILED if detailed else gateway_pb2.CAPTION_STYLE_SHORT
            ),
        )
        response = await self._unary(self._stub.Caption, request)
        citations = tuple(decode.citation(citation) for citation in response.citations)
        return events.Caption(text=response.text, citations=citations)

    async def find_assets(
        self, sha256: Sequence[str], asset_ids: Sequence[str] = ()
    ) -> tuple[events.StoredAsset, ...]:
        """The stored assets with these hashes, at most one for each, and with these ids."""
        found: list[events.StoredAsset] = []
        for start in range(0, max(len(sha256), len(asset_ids)), _LOOKUPS_A_CALL):
            part = slice(start, start + _LOOKUPS_A_CALL)
            request = gateway_pb2.FindAssetsRequest(sha256=sha256[part], asset_ids=asset_ids[part])
            response = await self._unary(self._stub.FindAssets, request)
            found.extend(decode.asset(asset) for asset in response.assets)
        return tuple(found)

    async def list_assets(self, page_size: int = 100) -> AsyncGenerator[events.StoredAsset, None]:
        """All stored assets, newest first."""
        page_token = ""
        while True:
            request = gateway_pb2.ListAssetsRequest(page_size=page_size, page_token=page_token)
            response = await self._unary(self._stub.ListAssets, request)
            for asset in response.assets:
                yield decode.asset(asset)
            page_token = response.next_page_token
            if not page_token:
                return

    async def durable_bytes(self, asset_id: str) -> int:
        """Where an interrupted upload goes on. Raises with the code NOT_FOUND if there is none."""
        request = gateway_pb2.GetUploadRequest(asset_id=asset_id)
        response = await self._unary(self._stub.GetUpload, request)
        return int(response.durable_offset)

    async def thumbnail(self, asset_id: str, offset_s: float | None = None) -> bytes:
        """A small JPEG of a stored picture or video, at most 256 px wide and high.

        ``offset_s`` is a moment of a video; without it, a frame that represents it. Sound and
        text have none: that raises with the reason NO_PICTURE.
        """
        request = gateway_pb2.GetThumbnailRequest(asset_id=asset_id)
        if offset_s is not None:
            request.offset.FromMicroseconds(round(offset_s * 1e6))
        response = await self._unary(self._stub.GetThumbnail, request)
        return bytes(response.jpeg)

    async def delete(self, asset_id: str) -> None:
        """Delete a stored asset and all that was made of it.

        Raises with the reason ASSET_NOT_FOUND if there is none.
        """
        request = gateway_pb2.DeleteAssetRequest(asset_id=asset_id)
        await self._unary(self._stub.DeleteAsset, request)

    async def check(
        self, *, deep: bool = False, repair: bool = False
    ) -> AsyncGenerator[checks.Finding | checks.CheckSummary, None]:
        """Check that everything stored agrees: what is wrong, then the summary."""
        request = gateway_pb2.CheckRequest(deep=deep, repair=repair)
        call = self._stub.Check(request, metadata=self._metadata())
        try:
            async for response in call:
                yield decode.check(response)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            call.cancel()

    async def get_trace(self, trace_id: str) -> tuple[events.Span, ...]:
        """The spans that the server recorded of a recent trace, in order of their start."""
        request = gateway_pb2.GetTraceRequest(trace_id=trace_id)
        response = await self._unary(self._stub.GetTrace, request)
        return tuple(decode.span(span) for span in response.spans)

    async def _split_known(
        self, media: Sequence[Media]
    ) -> tuple[list[Media], list[events.AlreadyStored]]:
        """Hash the files and tell those to send from those that the server has."""
        hashed: list[Media] = [
            dataclasses.replace(item, sha256=item.sha256 or await file_sha256(item.path))
            if isinstance(item, MediaFile)
            else item
            for item in media
        ]
        hashes = sorted({item.sha256 for item in hashed if item.sha256})
        stored = {asset.sha256: asset for asset in await self.find_assets(hashes)}
        fresh = [item for item in hashed if item.sha256 not in stored]
        known = [
            _already_stored(item, stored[item.sha256].content_id)
            for item in hashed
            if item.sha256 in stored
        ]
        return fresh, known


def _already_stored(media: Media, asset_id: str) -> events.AlreadyStored:
    return events.AlreadyStored(
        name=media.display_name,
        asset_id=asset_id,
        sha256=media.sha256,
        size_bytes=media.size_bytes,
    )
