"""Words while they are being said: windows that are still open, heard when nothing else is.

A preview is a guess that nothing rests on. So it may cost what is idle and no
more: one is heard at a time, in all streams together, fast and once; only the
newest of an asset is; and none while windows wait or are heard.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from services.encode.engines import Engines
from services.encode.languages import AUTO
from services.encode.segments import EncodeOptions, Segment, Speech, Utterance, check_sample_rate
from services.encode.spoken import SpokenLanguages
from services.runtime.batching import Meter
from services.runtime.errors import SensoriumError

ASSETS_MAX = 8
"""Assets of one stream that are listened to at once; those beyond have no previews."""

Heard = Sequence[Utterance]
Listen = Callable[[Segment], Awaitable[Heard | None]]
Tell = Callable[[Segment, Heard], Awaitable[None]]


class PreviewListener:
    """Hears previews. One for all streams: whoever has the ``turn`` may be heard."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self.turn = asyncio.Lock()

    async def hear(
        self, preview: Segment, options: EncodeOptions, languages: SpokenLanguages, meter: Meter
    ) -> Heard | None:
        """What is said in a preview; None where there are windows to be heard.

        Raises:
            InvalidInput: SAMPLE_RATE_UNSUPPORTED, AUDIO_MALFORMED.
            SensoriumError: as the engine raised it.
        """
        check_sample_rate(preview)
        engine = await self._engines.speech(options.language)
        if engine.pending or engine.running:
            return None
        language = options.language
        if language == AUTO:
            # A guess settles nothing: the language of an asset is that of its first window.
            language = languages.of(preview.asset_id).code or AUTO
        speech = Speech(preview.payload, language, word_times=False, draft=True)
        try:
            return await engine.run(speech, meter=meter)
        finally:
            # Stops the worker if this is a cancellation; means nothing otherwise.
            speech.cancelled.set()


class Previews:
    """The previews of one stream, in tasks of its group; the newest of each asset is heard."""

    def __init__(
        self, turn: asyncio.Lock, listen: Listen, tell: Tell, group: asyncio.TaskGroup
    ) -> None:
        self._turn = turn
        self._listen = listen
        self._tell = tell
        self._group = group
        self._waiting: dict[str, Segment] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def offer(self, preview: Segment) -> None:
        """Hear a preview when there is time, in the place of the one of its asset that waits."""
        asset_id = preview.asset_id
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        if asset_id not in self._tasks:
            if len(self._tasks) >= ASSETS_MAX:
                return
            self._tasks[asset_id] = self._group.create_task(self._hear(asset_id))
        self._waiting[asset_id] = preview

    def overtake(self, asset_id: str) -> None:
        """The window itself has come: nothing more is told of its previews."""
        self._waiting.pop(asset_id, None)
        if task := self._tasks.pop(asset_id, None):
            task.cancel()

    def close(self) -> None:
        """No more windows come: nothing more is told."""
        for asset_id in list(self._tasks):
            self.overtake(asset_id)

    async def _hear(self, asset_id: str) -> None:
        while asset_id in self._waiting:
            async with self._turn:
                preview = self._waiting.pop(asset_id)
                heard = None
                # What is wrong with the sound is told of its window.
                with contextlib.suppress(SensoriumError):
                    heard = await self._listen(preview)
            if heard is not None:
                await self._tell(preview, heard)
