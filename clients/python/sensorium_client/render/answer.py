"""An answer as it comes: what is being perceived, then the tokens, then what they rest on."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from sensorium_client import events
from sensorium_client.events import Citation, Event, TurnComplete
from sensorium_client.render.places import citation_table, file_size, place
from sensorium_client.render.timeline import print_timings


class AnswerView:
    """Shows one answer. ``text``, ``evidence`` and ``citations`` are kept for who checks them."""

    def __init__(self, out: Console, meanwhile: Console) -> None:
        self.text = ""
        self.trace_id = ""
        self.evidence: tuple[events.Evidence, ...] = ()
        self.citations: list[Citation] = []
        self.transcripts: list[events.Transcript] = []
        self.complete: TurnComplete | None = None
        self._out = out
        self._status: Status = meanwhile.status("sending ...")
        self._meanwhile = meanwhile
        self._received_bytes: dict[str, int] = {}
        self._segments: dict[str, tuple[int, int]] = {}
        self._heard = ""
        self._names: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._status.stop()
        if error is not None and self.text:
            self._out.print()

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case events.Ready():
                self.trace_id = event.trace_id
            case events.AssetInfo():
                self._names[event.description.asset_id] = event.description.name
            case events.AlreadyStored():
                self._names[event.asset_id] = event.name
                self._note(f"{event.name}: the server has it, not sent again")
            case events.Progress():
                self._received_bytes[event.asset_id] = event.received_bytes
                self._segments[event.asset_id] = (
                    event.encoded_segment_count,
                    event.segment_count,
                )
                self._show_progress()
            case events.Transcript():
                self.transcripts.append(event)
                self._heard = event.text
                self._show_progress()
            case events.PartialTranscript():
                self._heard = event.text
                self._show_progress()
            case events.ItemFailed():
                self._note(f"{event.item_id}: {event.message}")
            case events.EvidenceWeights():
                self.evidence = event.evidence
                self._status.update("thinking ...")
            case events.Token():
                self._status.stop()
                self.text += event.text
                self._out.print(event.text, end="", markup=False, soft_wrap=True)
            case events.Citation():
                self.citations.append(event)
            case events.Moderation(action="flag"):
                self._note(describe_flag(event, self._names))
            case events.TurnComplete():
                self._finish(event)
            case events.GoAway():
                self._note("the server shuts down after this answer")
            case _:
                pass

    def _finish(self, complete: TurnComplete) -> None:
        self.complete = complete
        self._status.stop()
        self._out.print()
        if complete.finish_reason == "length":
            self._note("cut off: --max-tokens allows more")
        elif complete.finish_reason == "content_filter":
            self._note("stopped by the server's content filter")
        if complete.response_cached:
            self._note("from the cache: the same was asked before")
        if self.citations:
            self._out.print()
            self._out.print(citation_table(self.citations))
        elif self.text:
            self._out.print()
        print_timings(self._out, complete)

    def _show_progress(self) -> None:
        received = file_size(sum(self._received_bytes.values()))
        encoded = sum(done for done, _ in self._segments.values())
        cut = sum(count for _, count in self._segments.values())
        heard = f'  [italic]"{escape(_tail(self._heard))}"[/]' if self._heard else ""
        self._status.update(f"{received} received, {encoded} of {cut} segments read{heard}")

    def _note(self, text: str) -> None:
        self._meanwhile.print(escape(text), style="dim")


def describe_flag(found: events.Moderation, names: Mapping[str, str]) -> str:
    """A flag as a line; ``names`` are those of the assets by id."""
    part = f"the {found.part}"
    if found.part == "asset":
        where = place(found.locator).replace("\n", ", ")
        part = f"{names.get(found.asset_id, found.asset_id)} ({where})"
    return f"flagged: {part}: {found.category} {found.score:.2f}"


def _tail(text: str, length: int = 48) -> str:
    text = text.strip()
    return text if len(text) <= length else "… " + text[-length:]
