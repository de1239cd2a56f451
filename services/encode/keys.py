"""Keys under which results are cached."""

import asyncio

from services.runtime.cache import cache_key

# A longer payload is hashed in a thread: SHA-256 takes a millisecond or two a MiB.
_HASH_INLINE_BYTES = 64 << 10


async def payload_key(tenant: str, payload: bytes, transform: tuple[str, ...]) -> str:
    """The key of what a transform, model digests included, makes of a payload."""
    if len(payload) <= _HASH_INLINE_BYTES:
        return cache_key(tenant, payload, *transform)
    return await asyncio.to_thread(cache_key, tenant, payload, *transform)


def owner_of(tenant: str, asset_id: str) -> str:
    """Whose a result is: with the asset it is dropped."""
    return f"{tenant}/{asset_id}"
