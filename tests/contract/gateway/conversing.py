"""A gateway with real stages, a real database and fakes for models, here or in its own process.

``python -m tests.contract.gateway.conversing`` serves one of the environment's settings.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sensorium_client import Client
from sensorium_client.events import Citation, Event, Token, TurnComplete
from sensorium_client.media import Media
from sensorium_client.options import AskOptions

from services.gateway.admission import Admission
from services.gateway.http.server import HttpServer
from services.gateway.stage import assemble
from services.host import builders
from services.runtime.server import BuildStage, Stage
from services.runtime.settings import Settings, load_settings
from tests.fakes import FakeEncoder, FakeLanguageModel
from tests.harness import serve_all

OPTIONS = AskOptions(reuse_stored=False)
STORY = "The lighthouse was built in 1871. It is forty metres tall."


@dataclass(frozen=True)
class Served:
    """A running gateway."""

    client: Client
    model: FakeLanguageModel
    admission: Admission
    http_url: str
    settings: Settings


@dataclass(frozen=True)
class Answer:
    """What came back for a question."""

    text: str
    cited: frozenset[str]
    complete: TurnComplete


def stages(model: FakeLanguageModel) -> dict[str, BuildStage]:
    """All stages, only the models are fakes."""
    return {
        **builders(),
        "encode": FakeEncoder().stage,
        "generate": model.stage,
    }


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Served]:
    """A gateway in this process, with all stages that have no address of their own."""
    model, http = FakeLanguageModel(), HttpServer(settings)
    admission = Admission(settings.turns_max)

    def gateway(settings: Settings) -> Stage:
        return assemble(settings, admission, http)

    hosted = {
        name: build
        for name, build in stages(model).items()
        if not getattr(settings, f"{name}_address", "")
    }
    async with (
        serve_all({**hosted, "gateway": gateway}, settings) as (_, effective),
        Client(f"127.0.0.1:{effective.port}") as client,
    ):
        yield Served(client, model, admission, f"http://127.0.0.1:{http.port}", effective)


def answered(events: list[Event]) -> Answer:
    """The answer that events tell."""
    (complete,) = [event for event in events if isinstance(event, TurnComplete)]
    return Answer(
        "".join(event.text for event in events if isinstance(event, Token)),
        frozenset(e.evidence.asset_id for e in events if isinstance(e, Citation)),
        complete,
    )


async def ask(
    client: Client,
    question: str,
    conversation_id: str = "",
    *files: Media | str,
    options: AskOptions = OPTIONS,
) -> Answer:
    """Ask on a stream of its own."""
    events = client.ask(question, files, options=options, conversation_id=conversation_id)
    return answered([event async for event in events])


async def _main() -> None:
    async with serve_all(stages(FakeLanguageModel()), load_settings()):
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
