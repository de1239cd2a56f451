"""A gateway that speaks the real contract over a real port, and says what it is told to say."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from sensorium.gateway.v1 import gateway_pb2 as pb
from sensorium.gateway.v1 import gateway_pb2_grpc, usage_pb2
from sensorium.media.v1 import (
    check_pb2,
    download_pb2,
    evidence_pb2,
    media_pb2,
    stream_pb2,
    upload_pb2,
)

Context = grpc.aio.ServicerContext[Any, Any]
ConverseRequests = AsyncIterator[pb.StreamingConverseRequest]
ConverseResponses = AsyncIterator[pb.StreamingConverseResponse]

DOWNLOAD_CHUNK_BYTES = 1000
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
HARBOUR = media_pb2.Asset(
    asset_id="a1",
    info=media_pb2.AssetInfo(name="harbour.mp4", modality=media_pb2.MODALITY_VIDEO),
)


@dataclass
class Received:
    """What a client sent of one asset."""

    start: upload_pb2.AssetStart
    offsets: list[int] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    finish: upload_pb2.AssetFinish | None = None


@dataclass
class Downloadable:
    """An asset to fetch. The connection breaks once after ``breaks_at`` bytes; what comes is
    wrong from ``wrong_at`` on."""

    data: bytes
    name: str = ""
    breaks_at: int | None = None
    wrong_at: int | None = None


@dataclass
class FakeGateway(gateway_pb2_grpc.GatewayServiceServicer):
    """Scriptable: set the fields before the call, read what arrived after it."""

    converse: Callable[["FakeGateway", ConverseRequests, Context], ConverseResponses] | None = None
    stored: dict[str, media_pb2.Asset] = field(default_factory=dict)
    by_id: dict[str, media_pb2.Asset] = field(default_factory=dict)
    durable: dict[str, bytes] = field(default_factory=dict)
    refused_names: set[str] = field(default_factory=set)
    refusal: stream_pb2.StreamError = field(
        default_factory=lambda: stream_pb2.StreamError(
            code=3, reason="MEDIA_UNREADABLE", message="This is no picture."
        )
    )
    uploads_to_break: int = 0
    """So many upload streams end, UNAVAILABLE, once their first asset is stored."""
    receiving: asyncio.Event = field(default_factory=asyncio.Event)
    """The first asset was announced."""
    holds_uploads: bool = False
    """Whether assets are taken in but never stored."""
    downloads: dict[str, "Downloadable"] = field(default_factory=dict)
    download_offsets: list[int] = field(default_factory=list)
    flagged: pb.Moderation | None = None

    configs: list[pb.ConverseConfig] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    asset_ids_asked: list[list[str]] = field(default_factory=list)
    assets: dict[str, Received] = field(default_factory=dict)
    searches: list[pb.SearchRequest] = field(default_factory=list)
    usage_requests: list[usage_pb2.GetUsageRequest] = field(default_factory=list)
    traceparents: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    cancel_turns: int = 0

    async def StreamingConverse(
        self, requests: ConverseRequests, context: Context
    ) -> ConverseResponses:
        """Run the script; note its end, also by a cancel."""
        metadata = dict(context.invocation_metadata() or ())
        self.traceparents.append(str(metadata["traceparent"]))
        context.add_done_callback(lambda *_: self.ended.set())  # type: ignore[arg-type]
        script = self.converse or answer_everything
        async for response in script(self, requests, context):
            yield response

    async def StreamingUpload(
        self, requests: AsyncIterator[pb.StreamingUploadRequest], context: Context
    ) -> AsyncIterator[pb.StreamingUploadResponse]:
        """Store what is sent; refuse the names it is told to refuse."""
        received_bytes = stored_count = 0
        async for request in requests:
            match request.WhichOneof("message"):
                case "config":
                    yield pb.StreamingUploadResponse(ready=pb.UploadReady(trace_id=TRACE_ID))
                case "asset_start":
                    start = request.asset_start
                    if start.name in self.refused_names:
                        refused = stream_pb2.ItemError(item_id=start.asset_id, error=self.refusal)
                        yield pb.StreamingUploadResponse(item_error=refused)
                        continue
                    self.receiving.set()
                    part = self.durable.get(start.asset_id, b"")
                    self.assets[start.asset_id] = Received(start, data=bytearray(part))
                    yield pb.StreamingUploadResponse(
                        upload_opened=upload_pb2.UploadOpened(
                            asset_id=start.asset_id, resume_offset=len(part)
                        )
                    )
                case "chunk":
                    received_bytes += len(request.chunk.data)
                    self.note_chunk(request.chunk)
                    yield pb.StreamingUploadResponse(
                        chunk_ack=upload_pb2.ChunkAck(
                            asset_id=request.chunk.asset_id,
                            received_offset=len(self.assets[request.chunk.asset_id].data),
                        )
                    )
                case "asset_finish" if self._is_other(request.asset_finish):
                    error = stream_pb2.StreamError(
                        code=3, reason="CHECKSUM_MISMATCH", message="The bytes are others."
                    )
                    asset_id = request.asset_finish.asset_id
                    yield pb.StreamingUploadResponse(
                        item_error=stream_pb2.ItemError(item_id=asset_id, error=error)
                    )
                case "asset_finish" if not self.holds_uploads:
                    asset = self.store(request.asset_finish)
                    stored_count += 1
                    yield pb.StreamingUploadResponse(asset=asset)
                    yield pb.StreamingUploadResponse(
                        asset_indexed=pb.AssetIndexed(asset_id=asset.asset_id, document_count=3)
                    )
                    if self.uploads_to_break:
                        self.uploads_to_break -= 1
                        await abort(context, 14, "SHUTTING_DOWN", "The server goes away.")
        yield pb.StreamingUploadResponse(
            summary=pb.UploadSummary(asset_count=stored_count, received_bytes=received_bytes)
        )

    def _is_other(self, finish: upload_pb2.AssetFinish) -> bool:
        """Whether the bytes that came are not those of the hash."""
        return hashlib.sha256(self.assets[finish.asset_id].data).hexdigest() != finish.sha256

    def note_chunk(self, chunk: upload_pb2.MediaChunk) -> None:
        """Take the next bytes; they must follow the ones before."""
        received = self.assets[chunk.asset_id]
        assert chunk.offset == len(received.data)
        assert 0 < len(chunk.data) <= 64 << 10
        received.offsets.append(chunk.offset)
        received.data += chunk.data

    def store(self, finish: upload_pb2.AssetFinish) -> media_pb2.Asset:
        """Commit an asset; its size and hash must be right."""
        received = self.assets[finish.asset_id]
        received.finish = finish
        sha256 = hashlib.sha256(received.data).hexdigest()
        assert finish.sha256 == sha256
        assert finish.size_bytes == len(received.data)
        asset = media_pb2.Asset(
            asset_id=finish.asset_id,
            sha256=sha256,
            size_bytes=len(received.data),
            info=media_pb2.AssetInfo(name=received.start.name),
            indexed=True,
        )
        self.stored.setdefault(sha256, asset)
        self.by_id[asset.asset_id] = asset
        return asset

    async def Ask(self, request: pb.AskRequest, context: Context) -> AsyncIterator[pb.AskResponse]:
        """Not used by the client."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED)
        yield pb.AskResponse()

    async def GetUpload(
        self, request: pb.GetUploadRequest, context: Context
    ) -> pb.GetUploadResponse:
        """How much of an upload is durable."""
        return pb.GetUploadResponse(durable_offset=len(self.durable[request.asset_id]))

    async def FindAssets(
        self, request: pb.FindAssetsRequest, context: Context
    ) -> pb.FindAssetsResponse:
        """What is stored."""
        by_hash = [self.stored[sha256] for sha256 in request.sha256 if sha256 in self.stored]
        by_id = [self.by_id[each] for each in request.asset_ids if each in self.by_id]
        return pb.FindAssetsResponse(assets=[*by_hash, *by_id])

    async def GetAsset(self, request: pb.GetAssetRequest, context: Context) -> pb.GetAssetResponse:
        """Whatever it is called, it is a film with a key frame."""
        frame = media_pb2.Rendition(
            name="keyframe-0",
            mime_type="image/jpeg",
            size_bytes=1234,
            width_px=640,
            height_px=360,
            time=seconds(62.5),
        )
        asset = media_pb2.Asset(asset_id=request.asset_id, renditions=[frame])
        return pb.GetAssetResponse(asset=asset)

    async def GetAssetUrl(
        self, request: pb.GetAssetUrlRequest, context: Context
    ) -> pb.GetAssetUrlResponse:
        """One that tells what was asked for."""
        url = f"https://cdn.example/{request.asset_id}/{request.rendition}"
        return pb.GetAssetUrlResponse(url=url)

    async def ListAssets(
        self, request: pb.ListAssetsRequest, context: Context
    ) -> pb.ListAssetsResponse:
        """What is stored, a page at a time."""
        start = int(request.page_token or 0)
        end = start + request.page_size
        assets = list(self.stored.values())
        return pb.ListAssetsResponse(
            assets=assets[start:end], next_page_token=str(end) if end < len(assets) else ""
        )

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        """One hit."""
        self.searches.append(request)
        return pb.SearchResponse(
            results=[
                pb.SearchResult(
                    asset=HARBOUR,
                    matches=[
                        pb.SearchMatch(
                            locator=locator(3.5, 5.0),
                            preview_text="a red lighthouse",
                            origin=evidence_pb2.EVIDENCE_ORIGIN_LABEL,
                            similarity=0.5,
                            relevance=0.875,
                            score=0.75,
                            thumbnail_jpeg=b"jpeg" if request.thumbnails else b"",
                        )
                    ],
                    relevance=0.875,
                    score=0.75,
                )
            ]
        )

    async def StreamingSearch(
        self, requests: AsyncIterator[pb.StreamingSearchRequest], context: Context
    ) -> AsyncIterator[pb.StreamingSearchResponse]:
        """One hit for each search; one with an offset fails."""
        response = pb.StreamingSearchResponse
        async for message in requests:
            if message.HasField("config"):
                yield response(ready=pb.SearchReady(trace_id=TRACE_ID))
            elif message.search.request.offset:
                error = stream_pb2.StreamError(code=3, reason="OFFSET_TOO_LARGE", message="No.")
                failed = stream_pb2.ItemError(item_id=message.search.query_id, error=error)
                yield response(item_error=failed)
            else:
                found = await self.Search(message.search.request, context)
                answer = pb.TaggedResult(query_id=message.search.query_id, response=found)
                yield response(result=answer)
        yield response(summary=pb.SearchSummary(query_count=1))

    async def FindNearDuplicates(
        self, request: pb.FindNearDuplicatesRequest, context: Context
    ) -> pb.FindNearDuplicatesResponse:
        """One film."""
        alike = pb.LookAlike(locator=locator(1.0, 1.0), hamming_distance=2)
        duplicate = pb.NearDuplicate(asset=HARBOUR, look_alikes=[alike], hamming_distance=2)
        return pb.FindNearDuplicatesResponse(near_duplicates=[duplicate])

    async def Transcribe(
        self, request: pb.TranscribeRequest, context: Context
    ) -> AsyncIterator[pb.TranscribeResponse]:
        """Two sentences, after what it is told to flag in them."""
        if self.flagged is not None:
            yield pb.TranscribeResponse(moderation=self.flagged)
        for index, text in enumerate(("The lighthouse is old.", "The river is wide.")):
            yield pb.TranscribeResponse(
                span=locator(index, index + 1).span,
                transcript=media_pb2.Transcript(text=text, language="en"),
            )

    async def Caption(self, request: pb.CaptionRequest, context: Context) -> pb.CaptionResponse:
        """A sentence, or a rich error for an unknown asset."""
        if request.asset_id == "unknown":
            await abort(context, 5, "ASSET_UNKNOWN", "There is no such asset.", retry_s=2)
        return pb.CaptionResponse(text="A cat.", citations=[citation()])

    async def DownloadAsset(
        self, request: pb.DownloadAssetRequest, context: Context
    ) -> AsyncIterator[pb.DownloadAssetResponse]:
        """What it was given, in small chunks, with the trouble that was asked for."""
        self.download_offsets.append(request.offset)
        asset = self.downloads.get(request.asset_id)
        if asset is None:
            await abort(context, 5, "ASSET_NOT_FOUND", "There is no such asset.")
        assert asset is not None
        data = asset.data
        if request.offset > len(data):
            await abort(context, 11, "RANGE_PAST_END", "The asset ends before this offset.")
        content = download_pb2.ContentInfo(
            asset_id=request.asset_id,
            rendition=request.rendition,
            mime_type="image/jpeg",
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            name=asset.name,
        )
        yield pb.DownloadAssetResponse(content=content)
        if asset.wrong_at is not None:
            data = data[: asset.wrong_at] + bytes(len(data) - asset.wrong_at)
        end = request.offset + request.length if request.length else len(data)
        for offset in range(request.offset, end, DOWNLOAD_CHUNK_BYTES):
            if asset.breaks_at is not None and offset >= asset.breaks_at:
                asset.breaks_at = None
                await abort(context, 14, "STAGE_UNAVAILABLE", "The server went away.")
            piece = data[offset : min(end, offset + DOWNLOAD_CHUNK_BYTES)]
            chunk = upload_pb2.MediaChunk(asset_id=request.asset_id, offset=offset, data=piece)
            yield pb.DownloadAssetResponse(chunk=chunk)

    async def GetThumbnail(
        self, request: pb.GetThumbnailRequest, context: Context
    ) -> pb.GetThumbnailResponse:
        """Not a picture: which one was asked for."""
        return pb.GetThumbnailResponse(
            jpeg=f"{request.asset_id} {request.offset.ToMilliseconds()}".encode()
        )

    async def DeleteAsset(
        self, request: pb.DeleteAssetRequest, context: Context
    ) -> pb.DeleteAssetResponse:
        """Forget an asset that is stored."""
        if self.stored.pop(request.asset_id, None) is None:
            await abort(context, 5, "ASSET_NOT_FOUND", "There is no such asset.")
        return pb.DeleteAssetResponse()

    async def Check(
        self, request: pb.CheckRequest, context: Context
    ) -> AsyncIterator[pb.CheckResponse]:
        """Faults that can be mended, and with ``deep`` one that cannot."""
        mendable = [check_pb2.FAULT_ORPHAN, check_pb2.FAULT_BYTES_MISSING]
        faults = mendable + [check_pb2.FAULT_BYTES_DAMAGED] * request.deep
        for fault in faults:
            repaired = request.repair and fault in mendable
            finding = check_pb2.Finding(fault=fault, message="a sentence", repaired=repaired)
            yield pb.CheckResponse(finding=finding)
        summary = pb.CheckSummary(
            asset_count=3, finding_count=len(faults), repaired_count=len(mendable) * request.repair
        )
        yield pb.CheckResponse(summary=summary)

    async def GetUsage(
        self, request: usage_pb2.GetUsageRequest, context: Context
    ) -> usage_pb2.GetUsageResponse:
        """Two days, or two tenants."""
        self.usage_requests.append(request)
        keys = ("acme", "") if request.all_tenants else ("2026-11-23", "2026-11-24")
        totals = [
            usage_pb2.UsageTotal(
                key=key,
                request_count=1200,
                failed_count=1,
                prompt_token_count=700,
                completion_token_count=30,
                media_duration=seconds(3725.0),
                media_bytes=5_000_000,
                cost_micros=250_000,
            )
            for key in keys
        ]
        return usage_pb2.GetUsageResponse(totals=totals, currency="EUR")

    async def GetTrace(self, request: pb.GetTraceRequest, context: Context) -> pb.GetTraceResponse:
        """A root and a child."""
        root = pb.Span(span_id="a" * 16, name="GatewayService/StreamingConverse", kind="server")
        child = pb.Span(
            span_id="b" * 16, parent_span_id="a" * 16, name="encode.batch", kind="internal"
        )
        for span, end_ms in ((root, 900), (child, 400)):
            span.start_time.FromMilliseconds(1_700_000_000_000)
            span.end_time.FromMilliseconds(1_700_000_000_000 + end_ms)
        return pb.GetTraceResponse(spans=[root, child])


def seconds(value: float) -> duration_pb2.Duration:
    """A duration."""
    duration = duration_pb2.Duration()
    duration.FromMilliseconds(round(value * 1000))
    return duration


def locator(start_s: float, end_s: float) -> media_pb2.Locator:
    """A stretch of time."""
    return media_pb2.Locator(span=media_pb2.TimeSpan(start=seconds(start_s), end=seconds(end_s)))


def weighted(key: str = "1", text: str = "tabby cat") -> evidence_pb2.WeightedEvidence:
    """A label seen in a film."""
    return evidence_pb2.WeightedEvidence(
        evidence=evidence_pb2.Evidence(
            evidence_id=f"a1/frame/0#label/{key}",
            asset_id="a1",
            asset_name="film.mp4",
            modality=media_pb2.MODALITY_VIDEO,
            origin=evidence_pb2.EVIDENCE_ORIGIN_LABEL,
            text=text,
            locator=locator(1.5, 2.25),
            confidence=0.9,
        ),
        citation_key=key,
        similarity=0.4,
        weight=0.7,
        in_context=True,
    )


def citation() -> pb.Citation:
    """The label, named by the answer."""
    return pb.Citation(
        evidence=weighted(),
        basis=pb.CITATION_BASIS_MARKER,
        asset_sha256="0" * 64,
        answer_range=media_pb2.CharRange(start=0, end=6),
    )


def turn_complete() -> pb.TurnComplete:
    """A turn that took a while."""
    return pb.TurnComplete(
        finish_reason=pb.TURN_FINISH_REASON_STOP,
        usage=pb.Usage(prompt_token_count=120, completion_token_count=2, segment_count=4),
        timings=pb.Timings(
            last_byte=seconds(1.0),
            first_token=seconds(1.4),
            last_token=seconds(1.6),
            time_to_first_token=seconds(0.4),
            overlap=0.75,
            stages=[
                pb.StageTiming(stage="ingest", start=seconds(0.0), end=seconds(1.0)),
                pb.StageTiming(stage="generate", start=seconds(1.1), end=seconds(1.6)),
            ],
        ),
    )


async def answer_everything(
    gateway: FakeGateway, requests: ConverseRequests, context: Context
) -> ConverseResponses:
    """Take whatever comes and answer each turn "A cat." with a citation."""
    response = pb.StreamingConverseResponse
    question, turns = "", 0
    async for request in requests:
        turn_id = request.turn_id
        match request.WhichOneof("message"):
            case "config":
                gateway.configs.append(request.config)
                yield response(
                    ready=pb.StreamReady(trace_id=TRACE_ID, effective_config=request.config)
                )
            case "asset_start":
                gateway.assets[request.asset_start.asset_id] = Received(request.asset_start)
                yield response(
                    turn_id=turn_id,
                    upload_opened=upload_pb2.UploadOpened(asset_id=request.asset_start.asset_id),
                )
            case "chunk":
                gateway.note_chunk(request.chunk)
            case "asset_finish":
                yield response(turn_id=turn_id, asset=gateway.store(request.asset_finish))
            case "text":
                question += request.text.text
            case "cancel_turn":
                gateway.cancel_turns += 1
                cancelled = turn_complete()
                cancelled.finish_reason = pb.TURN_FINISH_REASON_CANCELLED
                yield response(turn_id=turn_id, turn_complete=cancelled)
            case "end_turn":
                gateway.questions.append(question)
                gateway.asset_ids_asked.append(list(request.end_turn.asset_ids))
                question, turns = "", turns + 1
                yield response(turn_id=turn_id, evidence=pb.EvidenceWeights(evidence=[weighted()]))
                for text in ("A ", "cat."):
                    yield response(turn_id=turn_id, token=pb.TokenChunk(text=text, token_count=1))
                yield response(turn_id=turn_id, citation=citation())
                yield response(turn_id=turn_id, turn_complete=turn_complete())
    yield response(summary=pb.ConverseSummary(turn_count=turns))


async def abort(
    context: Context, code: int, reason: str, message: str, retry_s: float | None = None
) -> None:
    """End a call with a rich status, as the real server does."""
    details: list[Any] = [
        error_details_pb2.ErrorInfo(
            reason=reason, domain="sensorium", metadata={"subject": "asset_id"}
        )
    ]
    if retry_s is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=seconds(retry_s)))
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    await context.abort_with_status(rpc_status.to_status(status))


async def serve(gateway: FakeGateway) -> tuple[grpc.aio.Server, str]:
    """Start the fake on a free loopback port; the server and its address."""
    server = grpc.aio.server()
    gateway_pb2_grpc.add_GatewayServiceServicer_to_server(gateway, server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    await checks.set("sensorium.gateway.v1.GatewayService", health_pb2.HealthCheckResponse.SERVING)
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
