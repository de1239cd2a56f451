"""Answers that were given before, by exactly what the model read to give them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sensorium.generate.v1 import generate_pb2

from services.gateway.catalogue import find_assets_by_id
from services.gateway.stages import Stages
from services.runtime.cache import RedisTier, ResultCache, cache_key
from services.runtime.calls import CallScope
from services.runtime.settings import Settings

_FINISHED = (generate_pb2.FINISH_REASON_STOP, generate_pb2.FINISH_REASON_LENGTH)


@dataclass(frozen=True, slots=True)
class Prompt:
    """All that an answer hangs on besides the tenant."""

    effective: generate_pb2.GenerateConfig
    """Model and sampling, as generate understood them."""
    messages: Sequence[generate_pb2.Message]
    read_afresh: bool
    """Whether the context of the messages was dropped."""
    lines: Sequence[str]
    question: str

    def key(self, tenant_id: str) -> str:
        """The key of its answer."""
        return cache_key(
            "response",
            tenant_id,
            self.effective.SerializeToString(deterministic=True),
            str(self.read_afresh),
            str(len(self.messages)),
            *(message.SerializeToString(deterministic=True) for message in self.messages),
            self.question,
            *self.lines,
        )


@dataclass(frozen=True, slots=True)
class Response:
    """An answer as generate told it, before it was judged."""

    tokens: Sequence[generate_pb2.TokenChunk]
    complete: generate_pb2.Complete
    asset_ids: frozenset[str]
    """What the evidence was of."""


class Responses:
    """Keeps answers in memory and, where there is one, in Redis. Only those of temperature 0 are
    kept: the others shall differ. Off where ``response_cache_bytes`` is 0."""

    def __init__(self, stages: Stages, settings: Settings) -> None:
        self._stages = stages
        self._on = settings.response_cache_bytes > 0
        remote = RedisTier(settings.redis_url) if self._on and settings.redis_url else None
        self._cache = ResultCache(settings.response_cache_bytes, remote)
        self._ttl_s = settings.response_cache_ttl_s

    def keeps(self, sampling: generate_pb2.SamplingOptions) -> bool:
        """Whether answers so sampled are kept."""
        return self._on and sampling.temperature == 0

    async def find(self, scope: CallScope, prompt: Prompt) -> Response | None:
        """The answer that was given to a prompt, unless an asset that it rests on was deleted:
        another gateway may still hold it then, or Redis if it did not answer the deletion."""
        key = prompt.key(scope.tenant_id)
        value = await self._cache.find(key)
        if value is None:
            return None
        response = _read(value)
        self._cache.own(key, _owners(scope, response.asset_ids))
        assets = await find_assets_by_id(self._stages, scope, sorted(response.asset_ids))
        gone = response.asset_ids - assets.keys()
        for asset_id in gone:
            await self.forget_asset(scope, asset_id)
        return None if gone else response

    def keep(self, scope: CallScope, prompt: Prompt, response: Response) -> None:
        """Keep an answer, unless it was cut off."""
        if response.complete.finish_reason in _FINISHED:
            owners = _owners(scope, response.asset_ids)
            self._cache.keep(prompt.key(scope.tenant_id), _write(response), self._ttl_s, owners)

    async def forget_asset(self, scope: CallScope, asset_id: str) -> None:
        """Drop the answers that rest on an asset."""
        for owner in _owners(scope, [asset_id]):
            await self._cache.forget(owner)

    async def close(self) -> None:
        """Disconnect."""
        await self._cache.close()


def _owners(scope: CallScope, asset_ids: Iterable[str]) -> list[str]:
    return [cache_key("response", scope.tenant_id, asset_id) for asset_id in asset_ids]


def _write(response: Response) -> bytes:
    usage = response.complete.usage
    return json.dumps(
        {
            "tokens": [(token.text, token.token_count) for token in response.tokens],
            "finish_reason": response.complete.finish_reason,
            "usage": {field.name: value for field, value in usage.ListFields()},
            "asset_ids": sorted(response.asset_ids),
        }
    ).encode()


def _read(value: bytes) -> Response:
    kept = json.loads(value)
    return Response(
        [generate_pb2.TokenChunk(text=text, token_count=count) for text, count in kept["tokens"]],
        generate_pb2.Complete(
            finish_reason=kept["finish_reason"], usage=generate_pb2.Usage(**kept["usage"])
        ),
        frozenset(kept["asset_ids"]),
    )
