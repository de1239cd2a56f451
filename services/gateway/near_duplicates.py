"""Pictures and videos that look like another."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sensorium.encode.v1 import encode_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.media.v1 import media_pb2
from sensorium.search.v1 import search_pb2

from services.gateway.catalogue import canonical_id, get_asset, list_documents
from services.gateway.ephemeral import MEDIA_BYTES_MAX, ephemeral_segments
from services.gateway.ledger import PICTURES, Ledger
from services.gateway.moderation import Moderation, tell_nobody
from services.gateway.perception import encode_config, encode_segments
from services.gateway.policy import Policy
from services.gateway.stages import Stages
from services.runtime.calls import CallScope, call_unary
from services.runtime.errors import InvalidInput, LimitExceeded

HAMMING_DISTANCE_DEFAULT = 8
HAMMING_DISTANCE_MAX = 16
TOP_K_DEFAULT = 10
TOP_K_MAX = 100
LOOK_ALIKES_MAX = 50
HASHES_MAX = 256


@dataclass(frozen=True, slots=True)
class _Look:
    """A picture or a frame that is asked about."""

    perceptual_hash: int
    locator: media_pb2.Locator


async def find_near_duplicates(
    stages: Stages,
    scope: CallScope,
    request: gateway_pb2.FindNearDuplicatesRequest,
    policy: Policy,
) -> gateway_pb2.FindNearDuplicatesResponse:
    """The stored assets that look like a file or a stored one. Raises SensoriumError,
    CONTENT_BLOCKED where the policy blocks what is asked about."""
    distance_max = HAMMING_DISTANCE_DEFAULT
    if request.HasField("hamming_distance_max"):
        distance_max = request.hamming_distance_max
    top_k = request.top_k or TOP_K_DEFAULT
    for name, value, limit in (
        ("hamming_distance_max", distance_max, HAMMING_DISTANCE_MAX),
        ("top_k", top_k, TOP_K_MAX),
    ):
        if value > limit:
            reason = f"{name.upper()}_TOO_LARGE"
            raise InvalidInput(reason, f"{name} is at most {limit}.", subject=name)
    moderation = Moderation(stages, scope, policy, tell_nobody)
    example, looks = await _looks(stages, scope, request, moderation)
    if not looks:
        return gateway_pb2.FindNearDuplicatesResponse()
    inner = search_pb2.FindNearDuplicatesRequest(
        perceptual_hashes=[look.perceptual_hash for look in looks],
        hamming_distance_max=distance_max,
        excluded_asset_ids=[example] if example else [],
    )
    found = await call_unary(stages.search.FindNearDuplicates, inner, scope)
    return gateway_pb2.FindNearDuplicatesResponse(
        near_duplicates=await _grouped(moderation, found.near_duplicates, looks, top_k)
    )


async def _looks(
    stages: Stages,
    scope: CallScope,
    request: gateway_pb2.FindNearDuplicatesRequest,
    moderation: Moderation,
) -> tuple[str, list[_Look]]:
    """The stored asset that is asked about, if it is one, and its pictures."""
    if request.asset_id:
        asset = await get_asset(stages, scope, request.asset_id)
        _check_shown(asset.info, "asset_id")
        moderation.admit_example(asset)
        documents = await list_documents(stages, scope, canonical_id(asset))
        looks = [
            _Look(document.perceptual_hash, document.evidence.locator)
            for document in documents
            if document.HasField("perceptual_hash")
        ]
        return canonical_id(asset), looks[:HASHES_MAX]
    if not request.media:
        raise InvalidInput("QUERY_MISSING", "Set media or asset_id.", subject="query")
    if len(request.media) > MEDIA_BYTES_MAX:
        raise LimitExceeded(
            "QUERY_MEDIA_TOO_LARGE",
            f"media is at most {MEDIA_BYTES_MAX >> 20} MiB; "
            "upload the file and set asset_id instead.",
            subject="media",
        )
    return "", (await _looks_of_file(stages, scope, request.media, moderation))[:HASHES_MAX]


async def _looks_of_file(
    stages: Stages, scope: CallScope, media: bytes, moderation: Moderation
) -> list[_Look]:
    """The pictures of a file, which is judged as that of a search is where a rule asks for it."""
    looks: list[_Look] = []
    ledger = Ledger()

    async def segments() -> AsyncIterator[media_pb2.MediaSegment]:
        async for event in ephemeral_segments(stages, scope, media):
            ledger.note_ingest(event)
            if event.WhichOneof("event") == "asset_info":
                _check_shown(event.asset_info, "media")
                continue
            if event.segment.kind in PICTURES and event.segment.HasField("perceptual_hash"):
                looks.append(_Look(event.segment.perceptual_hash, event.segment.locator))
            yield event.segment

    if not moderation.categories:
        async for _ in segments():
            pass
        return looks
    # What is said in a video is heard for the judgement alone.
    tasks = (encode_pb2.ENCODE_TASK_TRANSCRIBE,) if moderation.judges_words else ()
    config = encode_config(tasks, moderated=moderation.categories)
    async for event in encode_segments(stages, scope, config, segments()):
        await moderation.media(ledger.of_segment, event)
    return looks


def _check_shown(info: media_pb2.AssetInfo, subject: str) -> None:
    if info.modality not in (media_pb2.MODALITY_IMAGE, media_pb2.MODALITY_VIDEO):
        raise InvalidInput("NO_PICTURE", "Sound and text look like nothing.", subject=subject)


async def _grouped(
    moderation: Moderation,
    found: Sequence[search_pb2.NearDuplicate],
    looks: Sequence[_Look],
    top_k: int,
) -> list[gateway_pb2.NearDuplicate]:
    """By asset, the nearest first. One that was deleted meanwhile, or that the policy blocks by
    now, is left out."""
    by_asset: dict[str, list[search_pb2.NearDuplicate]] = {}
    for each in found:
        by_asset.setdefault(each.asset_id, []).append(each)
    nearest = await moderation.first_admitted(list(by_asset), top_k)
    return [
        gateway_pb2.NearDuplicate(
            asset=asset,
            hamming_distance=by_asset[asset_id][0].hamming_distance,
            look_alikes=[
                gateway_pb2.LookAlike(
                    locator=each.locator,
                    query_locator=looks[each.query_index].locator,
                    hamming_distance=each.hamming_distance,
                )
                for each in by_asset[asset_id][:LOOK_ALIKES_MAX]
            ],
        )
        for asset_id, asset in nearest.items()
    ]
