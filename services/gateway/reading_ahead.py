"""Between two turns: what is found in photos meanwhile is read before the next question.

An answer waits for the view of a photo alone. Its tiles are named and what is written in it is
read afterwards, for the index, and the next question may need that too. So the model reads those
lines as soon as they are known, while the client thinks, and the next turn begins with them.
"""

import asyncio
import logging
from collections.abc import Sequence

from sensorium.fuse.v1 import fuse_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.generate.v1 import generate_pb2
from sensorium.media.v1 import evidence_pb2, media_pb2

from services.gateway.conversations.memory import Memory
from services.gateway.conversations.remembering import Remembering
from services.gateway.generation import told_before
from services.gateway.pipeline import Walk
from services.runtime.calls import CallScope, call_stage, call_unary
from services.runtime.errors import SensoriumError

log = logging.getLogger(__name__)

FuseRequest = fuse_pb2.StreamingFuseRequest

CHARACTERS_MAX = 600
"""Of all that is known of the photos, about 200 tokens: of a page full of text only the question
can choose."""


async def read_ahead(
    walk: Walk,
    scope: CallScope,
    options: gateway_pb2.AnswerOptions,
    remembering: Remembering,
    found: asyncio.Event,
) -> None:
    """Read what index jobs find, each time that ``found`` tells of some, until cancelled."""
    while True:
        await found.wait()
        found.clear()
        try:
            await _read(walk, scope, options, remembering)
        except SensoriumError as error:
            # It only saves time: the next turn reads what it needs, or meets the error itself.
            log.info("nothing was read ahead: %s", error.message)


async def _read(
    walk: Walk, scope: CallScope, options: gateway_pb2.AnswerOptions, remembering: Remembering
) -> None:
    thread = remembering.thread()
    memory, turn_count = thread.memory(), thread.turn_count
    budget = options.evidence_token_budget or walk.settings.evidence_token_budget
    late = await _late_lines(walk, scope, memory, budget)
    if not late:
        return
    ahead = [*memory.ahead, *late]
    request = generate_pb2.ReadAheadRequest(
        config=generate_pb2.GenerateConfig(
            model=options.model, messages=told_before(options, memory)
        ),
        context_lines=[part.text for part in ahead],
    )
    read = await call_unary(walk.stages.generate.ReadAhead, request, scope)
    if read.read_token_count == read.token_count and thread.turn_count == turn_count:
        thread.ahead = ahead


async def _late_lines(
    walk: Walk, scope: CallScope, memory: Memory, budget: int
) -> Sequence[fuse_pb2.ContextPart]:
    """The lines about photos that the model has not read; none where they are many, or where it
    has to read all anew."""
    config = fuse_pb2.FuseConfig(
        token_budget=budget, earlier_parts=(*memory.parts(), *memory.ahead)
    )
    fused = fuse_pb2.FusedContext()
    async with call_stage(walk.stages.fuse.StreamingFuse, scope) as fusion:
        await fusion.send(FuseRequest(config=config))
        for entry in memory.entries:
            if not entry.blocked:
                for piece in await asyncio.to_thread(entry.recalled):
                    await fusion.send(FuseRequest(recalled=piece))
        await fusion.send(FuseRequest(finish=fuse_pb2.FuseFinish()))
        await fusion.done_sending()
        async for event in fusion:
            if event.WhichOneof("event") == "fused_context":
                fused = event.fused_context
    # Lines of writing may still grow together until all of a photo is read.
    read = {entry.info.asset_id for entry in memory.entries if entry.fully_perceived}
    final = {
        piece.citation_key
        for piece in fused.evidence
        if piece.evidence.modality == media_pb2.MODALITY_IMAGE
        and (
            piece.evidence.origin != evidence_pb2.EVIDENCE_ORIGIN_OCR
            or piece.evidence.asset_id in read
        )
    }
    late = [part for part in fused.parts if part.citation_key in final]
    known = sum(len(piece.evidence.text) for piece in fused.evidence if piece.citation_key in final)
    return late if known <= CHARACTERS_MAX and fused.prefix_kept else ()
