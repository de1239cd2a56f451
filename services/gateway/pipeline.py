"""The walk of one turn: media and a question in, tokens and citations out.

The only module that knows the order of all stages. All streams of a turn are
open at once: while chunks still come, segments are encoded, evidence is fused,
and the stable part of the context is read by the language model.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from sensorium.fuse.v1 import fuse_pb2
from sensorium.gateway.v1 import gateway_pb2
from sensorium.generate.v1 import generate_pb2
from sensorium.media.v1 import media_pb2

from services.gateway.answer import AnswerRelay
from services.gateway.catalogue import canonical_id, find_assets_by_id, get_assets
from services.gateway.context import RESET, Context, statements
from services.gateway.conversations.memory import Memory
from services.gateway.events import FINISH_REASONS, TurnEvents, timings
from services.gateway.focus import temporal_focus
from services.gateway.generation import Generation, told_before
from services.gateway.grounding import tells
from services.gateway.indexing import Indexer
from services.gateway.ledger import Ledger
from services.gateway.live import LiveMedia
from services.gateway.moderation import Moderation
from services.gateway.outcome import TurnOutcome
from services.gateway.perception import (
    ALL_TASKS,
    ANSWER_TASKS,
    embed_text,
    encode_config,
    ingest_config,
    open_perception,
)
from services.gateway.policy import Policies
from services.gateway.question import (
    check_instructions,
    check_length,
    check_question,
    needs_writing,
)
from services.gateway.recall import recalled_evidence, standing, stored_evidence
from services.gateway.responses import Responses
from services.gateway.stages import Stages
from services.gateway.timings import TurnClock
from services.gateway.verification import cite_verified
from services.runtime import telemetry
from services.runtime.calls import CallScope, StageStream, call_stage
from services.runtime.errors import SensoriumError
from services.runtime.settings import Settings

TurnMessage = gateway_pb2.StreamingConverseRequest
Calls = contextlib.AsyncExitStack


@dataclass(frozen=True, slots=True)
class TurnOptions:
    """How a turn is answered."""

    answer: gateway_pb2.AnswerOptions
    perception: gateway_pb2.PerceptionOptions = field(default_factory=gateway_pb2.PerceptionOptions)


@dataclass(frozen=True, slots=True)
class Walk:
    """What every turn of a gateway shares."""

    stages: Stages
    indexer: Indexer
    settings: Settings
    policies: Policies
    responses: Responses


@dataclass(frozen=True, slots=True)
class _Media:
    """The turn's media while it is perceived, and the context that it will become."""

    live: LiveMedia
    fused: "asyncio.Task[fuse_pb2.FusedContext]"


class Turn:
    """One turn. The reader of the client's stream feeds ``messages``; ``run`` does the work."""

    def __init__(
        self, walk: Walk, scope: CallScope, options: TurnOptions, events: TurnEvents
    ) -> None:
        self._stages = walk.stages
        self._indexer = walk.indexer
        self._settings = walk.settings
        self._responses = walk.responses
        self._scope = scope
        self._options = options
        self._events = events
        policy = walk.policies.of(scope.tenant_id)
        self._moderation = Moderation(walk.stages, scope, policy, events.moderation)
        # Short: media goes on to ingest's spool, which never waits for a decoder.
        self.messages: asyncio.Queue[TurnMessage] = asyncio.Queue(4)
        self.clock = TurnClock()
        self.ledger = Ledger()
        self._question = ""
        self._named_ids: list[str] = []
        self._memory = Memory()
        self._context: Context | None = None

    async def run(self, memory: Memory) -> TurnOutcome:
        """Walk the turn to its end, after those before it. Raises SensoriumError; cancelling
        frees every stage."""
        self._memory = memory
        with telemetry.span("gateway.turn"):
            async with Calls() as calls, asyncio.TaskGroup() as group:
                generation = await self._open_generation(calls)
                # Read from the start: what generate refuses is told before more media is taken in.
                answering = group.create_task(generation.read())
                media = await self._take_input(calls, group, generation.stream)
                judging = group.create_task(self._moderation.question(self._question))
                stored = await self._stored_assets()
                fused = await self._fuse(calls, group, generation.stream, media, stored)
                await judging
                if fused:
                    generation.answer.may_name(
                        {each.citation_key for each in fused.evidence if each.in_context}
                    )
                context = self._context
                read_afresh = context is None or context.read_afresh
                lines = context.lines if context else ()
                await generation.ask(self._question, lines, read_afresh=read_afresh)
                finish = await answering
                if media:
                    # Citations rest on committed bytes.
                    await media.live.until_complete()
                evidence = fused.evidence if fused else ()
                asset_ids = frozenset(each.evidence.asset_id for each in evidence)
                assets = await find_assets_by_id(self._stages, self._scope, sorted(asset_ids))
                if asset_ids == assets.keys():
                    generation.keep(finish, asset_ids)
                # Evidence of an asset that is gone does not resolve, so it is not cited.
                citations = cite_verified(generation.answer.text, evidence, assets)
                for citation in citations:
                    await self._events.send(citation=citation)
                return TurnOutcome(
                    question=self._question,
                    answer=generation.answer.text,
                    citations=citations,
                    complete=self._complete(generation, finish, media),
                    evidence=evidence,
                    modality_weights=fused.modality_weights if fused else (),
                    named_ids=self._named_ids,
                    parts=context.parts if context else (),
                    read_afresh=read_afresh,
                )

    # --- input: media flows on to ingest and encode while it comes -----------------

    async def _open_generation(self, calls: Calls) -> Generation:
        call = call_stage(self._stages.generate.StreamingGenerate, self._scope)
        stream = await calls.enter_async_context(call)
        answer = AnswerRelay(self._events, self._moderation, self.clock)
        generation = Generation(stream, self._scope, answer, self.clock, self._responses)
        options = self._options.answer
        sampling = generate_pb2.SamplingOptions(
            max_tokens=options.max_tokens or self._settings.answer_tokens_max,
            temperature=options.temperature,
            top_p=options.top_p,
            stop=options.stop,
        )
        if options.HasField("seed"):
            sampling.seed = options.seed
        check_instructions(options.instructions, self._settings.question_characters_max)
        config = generate_pb2.GenerateConfig(
            model=options.model,
            messages=told_before(options, self._memory),
            sampling=sampling,
        )
        await generation.open(config)
        return generation

    async def _take_input(
        self, calls: Calls, group: asyncio.TaskGroup, generation: StageStream[Any, Any]
    ) -> _Media | None:
        """Take messages until the end of the turn; perceive media from its first byte on."""
        media: _Media | None = None
        while True:
            message = await self.messages.get()
            kind = message.WhichOneof("message")
            if kind == "end_turn":
                self._named_ids = list(message.end_turn.asset_ids)
                break
            if kind == "text":
                self._question += message.text.text
                check_length(self._question, self._settings.question_characters_max)
                continue
            media = media or await self._perceive(calls, group, generation)
            await media.live.send(message)
        self._question = check_question(self._question, self._settings.question_characters_max)
        if media:
            await media.live.done_sending()
        return media

    async def _perceive(
        self, calls: Calls, group: asyncio.TaskGroup, generation: StageStream[Any, Any]
    ) -> _Media:
        """Open ingest, encode and fuse for the turn's media and let them run."""
        reading = needs_writing(self._question)
        self.ledger = Ledger(reading=reading)
        options = self._options.perception
        context = await self._open_context(calls, generation)
        perception = await calls.enter_async_context(
            open_perception(
                self._stages,
                self._scope,
                ingest_config(options, self._scope, words_held=self._moderation.holds_words),
                encode_config(
                    ALL_TASKS if reading else ANSWER_TASKS,
                    options.language,
                    moderated=self._moderation.categories,
                    word_times=options.word_times,
                ),
            )
        )
        fused = group.create_task(context.relay())
        live = LiveMedia(
            perception, context, self.ledger, self._events, self.clock, self._moderation
        )
        live.start(group)
        return _Media(live, fused)

    async def _open_context(self, calls: Calls, generation: StageStream[Any, Any]) -> Context:
        fusion = await calls.enter_async_context(
            call_stage(self._stages.fuse.StreamingFuse, self._scope)
        )
        budget = self._options.answer.evidence_token_budget or self._settings.evidence_token_budget
        memory = self._memory
        config = fuse_pb2.FuseConfig(
            token_budget=budget, earlier_parts=(*memory.parts(), *memory.ahead)
        )
        await fusion.send(fuse_pb2.StreamingFuseRequest(config=config))
        self._context = Context(fusion, generation, self.clock)
        await self._context.begin(memory.ahead)
        return self._context

    # --- evidence: live, late, stored and recalled, into one context ----------------

    async def _stored_assets(self) -> list[media_pb2.Asset]:
        # One that was blocked since is refused as any other, if it is named.
        at_hand = {entry.info.asset_id for entry in self._memory.entries if not entry.blocked}
        named_ids = [asset_id for asset_id in self._named_ids if asset_id not in at_hand]
        named = await get_assets(self._stages, self._scope, named_ids)
        others = [asset for asset in self._memory.assets if asset.asset_id not in named_ids]
        remembered = [await self._judged(asset) for asset in others]
        return [*(each for each in remembered if not self._moderation.hides(each)), *named]

    async def _judged(self, asset: media_pb2.Asset) -> media_pb2.Asset:
        """A remembered asset, judged first in what the policy blocks by now. One that cannot be
        stays withheld: the conversation goes on without it."""
        if self._moderation.withholds(asset):
            with contextlib.suppress(SensoriumError):
                return await self._indexer.judged(asset, self._scope)
        return asset

    async def _fuse(
        self,
        calls: Calls,
        group: asyncio.TaskGroup,
        generation: StageStream[Any, Any],
        media: _Media | None,
        stored: list[media_pb2.Asset],
    ) -> fuse_pb2.FusedContext | None:
        """Wait for the media, add what is stored, and weigh. A bare question needs none of it."""
        remembered = self._memory.entries
        if not (media or stored or remembered or self._options.answer.recall):
            if any(self._memory.parts()):
                # What the model read of it is gone.
                await generation.send(RESET)
            return None
        vector = group.create_task(embed_text(self._stages, self._scope, self._question))
        focus = group.create_task(temporal_focus(self._stages, self._scope, self._question))
        if media:
            await media.live.until_answerable()
            await media.live.judge_tiles(self._stages, self._scope)
            context, relayed = media.live.context, media.fused
            await context.recalled(
                await media.live.read_late(self._stages, self._scope, self._question)
            )
        else:
            context = await self._open_context(calls, generation)
            relayed = group.create_task(context.relay())
        evidence: list[fuse_pb2.RecalledEvidence] = []
        for entry in remembered:
            if entry.asset and needs_writing(self._question):
                # What is written in it is read by its index job.
                await self._indexer.settled(entry.asset, self._scope)
            if entry.blocked:
                # By its index job, which saw more of it than the answer before.
                continue
            evidence += await asyncio.to_thread(entry.recalled)
        evidence += await stored_evidence(
            self._stages, self._indexer, self._scope, stored, self._moderation
        )
        if self._options.answer.recall:
            live_entries = self.ledger.assets.values()
            at_hand = [entry.asset for entry in (*live_entries, *remembered) if entry.asset]
            known = frozenset(
                known_id
                for asset in (*at_hand, *stored)
                for known_id in (asset.asset_id, canonical_id(asset))
            )
            self.clock.stage("search")
            evidence += await recalled_evidence(
                self._stages, self._scope, self._question, await vector, known, self._moderation
            )
            self.clock.stage("search")
        await context.recalled(await standing(self._stages, self._scope, evidence))
        await context.finish(self._question, await vector, await focus)
        fused = await relayed
        if fused.shows_nothing or not tells(self._question, statements(fused)):
            await context.nothing_tells(fused)
        await context.repeat(fused, self._memory.parts())
        await self._events.weights(fused)
        return fused

    # --- answer ----------------------------------------------------------------------

    def _complete(
        self, generation: Generation, finish: generate_pb2.Complete, media: _Media | None
    ) -> gateway_pb2.TurnComplete:
        segment_count = self.ledger.segment_count
        usage = gateway_pb2.Usage(
            prompt_token_count=finish.usage.prompt_token_count,
            cached_token_count=finish.usage.cached_token_count,
            completion_token_count=finish.usage.completion_token_count,
            media_bytes=sum(
                entry.asset.size_bytes for entry in self.ledger.assets.values() if entry.asset
            ),
            segment_count=segment_count,
            cache_hit_count=media.live.cache_hit_count if media else 0,
        )
        return gateway_pb2.TurnComplete(
            finish_reason=gateway_pb2.TURN_FINISH_REASON_CONTENT_FILTER
            if generation.answer.blocked
            else FINISH_REASONS[finish.finish_reason],
            usage=usage,
            timings=timings(self.clock, segment_count),
            response_cached=generation.given_before is not None,
            span_id=telemetry.current_span_id(),
        )
