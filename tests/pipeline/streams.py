"""Streams written by hand: any message in any order, and everything that the server told."""

import asyncio
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import stream_pb2, upload_pb2

Converse = gateway_pb2.StreamingConverseRequest
Upload = gateway_pb2.StreamingUploadRequest

TURN = "turn"
CHUNK_BYTES = 64 << 10

_NAMES_OF_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_INSIDES = re.compile(r"Traceback|Error\(|Exception|0x[0-9a-f]{6,}|\.py\b|(^|\s)/\w+/|\\n")


@dataclass(frozen=True)
class Told:
    """An error as a client sees it."""

    code: str
    reason: str
    subject: str
    message: str = field(compare=False)

    def __post_init__(self) -> None:
        """What holds of every error: a stable reason, and a sentence without our insides."""
        assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", self.reason), self.reason
        assert re.fullmatch(r"\S.{10,300}\.", self.message), self.message
        assert not _INSIDES.search(self.message), self.message
        assert not _INSIDES.search(self.subject), self.subject


def told_in_band(error: stream_pb2.StreamError) -> Told:
    """A ``StreamError`` event, or that of an ``ItemError``."""
    return Told(_NAMES_OF_CODES[error.code], error.reason, error.subject, error.message)


def told_by_status(error: grpc.aio.AioRpcError | grpc.RpcError) -> Told:
    """A status with its ErrorInfo."""
    status = rpc_status.from_call(error)
    assert status, f"a bare status: {error}"
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            assert info.domain == "sensorium"
            subject = info.metadata.get("subject", "")
            return Told(_NAMES_OF_CODES[status.code], info.reason, subject, status.message)
    raise AssertionError(f"no ErrorInfo in {status}")


@dataclass
class Outcome:
    """All that came back on one stream."""

    events: list[Any] = field(default_factory=list)
    status: Told | None = None

    def of(self, kind: str) -> list[Any]:
        """The events of one kind, in order."""
        return [getattr(e, kind) for e in self.events if e.WhichOneof("event") == kind]

    @property
    def error(self) -> Told:
        """How the stream failed: told in band first, then by the same status."""
        assert self.events[-1].WhichOneof("event") == "error"
        in_band = told_in_band(self.events[-1].error)
        assert in_band == self.status
        return in_band

    def item_errors(self) -> dict[str, Told]:
        """What went wrong with single items, by their ids."""
        return {failed.item_id: told_in_band(failed.error) for failed in self.of("item_error")}


async def exchange(call: Any, requests: Iterable[Any]) -> Outcome:
    """Send ``requests`` until the server tells an error in band, as a client should; read all."""
    over = asyncio.Event()

    async def write() -> None:
        for request in requests:
            if over.is_set():
                break
            await call.write(request)
        await call.done_writing()

    outcome = Outcome()
    writing = asyncio.create_task(write())
    try:
        async for event in call:
            outcome.events.append(event)
            if event.WhichOneof("event") == "error":
                over.set()
    except grpc.aio.AioRpcError as error:
        outcome.status = told_by_status(error)
    finally:
        await asyncio.gather(writing, return_exceptions=True)
        call.cancel()
    return outcome


def config(**answer: Any) -> Converse:
    """The first message of a conversation."""
    options = gateway_pb2.AnswerOptions(max_tokens=8, **answer)
    return Converse(config=gateway_pb2.ConverseConfig(answer=options))


def text(words: str, turn_id: str = TURN) -> Converse:
    """A piece of a question."""
    return Converse(turn_id=turn_id, text=gateway_pb2.TextChunk(text=words))


def end(*asset_ids: str, turn_id: str = TURN) -> Converse:
    """The end of a turn."""
    return Converse(turn_id=turn_id, end_turn=gateway_pb2.EndTurn(asset_ids=asset_ids))


def asset(
    asset_id: str,
    content: bytes,
    name: str = "",
    sha256: str | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> list[Any]:
    """The parts that send one asset: ``in_turn`` or ``in_upload`` make requests of them."""
    sha256 = hashlib.sha256(content).hexdigest() if sha256 is None else sha256
    return [
        upload_pb2.AssetStart(asset_id=asset_id, name=name),
        *chunks(asset_id, content, chunk_bytes),
        upload_pb2.AssetFinish(asset_id=asset_id, size_bytes=len(content), sha256=sha256),
    ]


def chunks(asset_id: str, content: bytes, chunk_bytes: int = CHUNK_BYTES) -> list[Any]:
    """The bytes of an asset."""
    return [
        upload_pb2.MediaChunk(
            asset_id=asset_id, offset=offset, data=content[offset : offset + chunk_bytes]
        )
        for offset in range(0, len(content), chunk_bytes)
    ]


_FIELDS = {
    upload_pb2.AssetStart: "asset_start",
    upload_pb2.MediaChunk: "chunk",
    upload_pb2.AssetFinish: "asset_finish",
}


def in_turn(parts: Iterable[Any], turn_id: str = TURN) -> list[Converse]:
    """Parts of assets as messages of a conversation."""
    return [Converse(turn_id=turn_id, **{_FIELDS[type(part)]: part}) for part in parts]


def in_upload(parts: Iterable[Any]) -> list[Upload]:
    """Parts of assets as messages of an upload."""
    return [Upload(**{_FIELDS[type(part)]: part}) for part in parts]
