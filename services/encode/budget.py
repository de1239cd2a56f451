"""A bound, in bytes, on what one stream has under way."""

import asyncio


class ByteBudget:
    """Lets work in while what is held stays within the capacity; work larger than that, alone."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._held_bytes = 0
        self._freed = asyncio.Event()

    @property
    def held_bytes(self) -> int:
        """Bytes under way."""
        return self._held_bytes

    async def acquire(self, size_bytes: int) -> None:
        """Waits for room. For one caller at a time."""
        while self._held_bytes and self._held_bytes + size_bytes > self._capacity_bytes:
            self._freed.clear()
            await self._freed.wait()
        self._held_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """Gives back what was acquired."""
        self._held_bytes -= size_bytes
        self._freed.set()
