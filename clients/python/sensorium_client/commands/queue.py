"""``sensorium enqueue``, ``worker`` and ``queue``: files through durable queues."""

import asyncio
import contextlib
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Annotated

import typer
from redis.exceptions import RedisError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sensorium_client.bulk.attempt import SendOptions
from sensorium_client.bulk.modality import Modality, modality_of
from sensorium_client.bulk.queue import ModalityQueue, QueuedFile, connect
from sensorium_client.bulk.walk import Selection, find_files
from sensorium_client.bulk.worker import Fate, Settled, Worker, WorkerOptions
from sensorium_client.commands.ingest import (
    ExcludeOption,
    IncludeOption,
    LanguageOption,
    PathsArgument,
    TagOption,
)
from sensorium_client.connection import connected
from sensorium_client.media import Labels, shown_name
from sensorium_client.render.bulk import outcome_json
from sensorium_client.terminal import (
    CommandError,
    JsonOption,
    MetadataOption,
    ServerOption,
    output,
    parse_metadata,
    print_json,
    progress_output,
    run_command,
)

QueueOption = Annotated[
    str,
    typer.Option(
        "--queue",
        envvar="SENSORIUM_QUEUE",
        metavar="URL",
        help="redis://HOST:PORT/DB of a Valkey or Redis that keeps its data (appendonly yes).",
    ),
]
TenantOption = Annotated[
    str,
    typer.Option(
        envvar="SENSORIUM_TENANT", help="Whose queues. Where files are stored is up to the server."
    ),
]
ModalityOption = Annotated[
    list[Modality] | None,
    typer.Option(help="Only this kind; can be repeated. Without it: all of them."),
]

queue_app = typer.Typer(help="Look at the queues of `sensorium enqueue`.", no_args_is_help=True)


def enqueue(
    paths: PathsArgument,
    queue: QueueOption,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    language: LanguageOption = "",
    tag: TagOption = None,
    meta: MetadataOption = None,
    tenant: TenantOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Put files on queues, from which `sensorium worker` stores and indexes them.

    One queue for each of text, image, audio and video, by the suffix. The paths must mean the
    same files to the workers. Doing it twice has no other effect than doing it once.

    Examples:

      sensorium enqueue archive/ --queue redis://127.0.0.1:6379/0
    """

    labels = Labels(tuple(tag or ()), parse_metadata(meta or ()))
    options = SendOptions(language, labels)

    async def run() -> int:
        files: dict[Modality, list[QueuedFile]] = {modality: [] for modality in Modality}
        for file in find_files(paths, Selection(tuple(include or ()), tuple(exclude or ()))):
            queued = QueuedFile(str(file.path.absolute()), file.relative_path, options)
            files[modality_of(file.relative_path)].append(queued)
        async with opened(queue, tenant, list(Modality)) as queues:
            for each in queues:
                await each.open()
                await each.put(files[each.modality])
        counts = {modality.value: len(queued) for modality, queued in files.items() if queued}
        if as_json:
            print_json({"type": "enqueued", **counts})
        else:
            listed = ", ".join(f"[bold]{count}[/] {name}" for name, count in counts.items())
            output().print(f"enqueued: {listed or 'nothing'}")
        return 0

    run_command(run(), as_json=as_json)


def worker(
    queue: QueueOption,
    modality: ModalityOption = None,
    tenant: TenantOption = "default",
    reclaim_after: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Take over what a silent worker has, after so long."
        ),
    ] = WorkerOptions.reclaim_after_s,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when the queues are empty.")
    ] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Store and index the files of queues. Run as many as you like, here and elsewhere.

    A file leaves its queue when it is committed and indexed. What may pass is tried again with
    growing delays; what does not becomes a dead letter (`sensorium queue dead`).

    Examples:

      sensorium worker --queue redis://127.0.0.1:6379/0 --modality image --modality text
    """

    async def run() -> int:
        # What stops services says TERM. As an interrupt, it gives back what is not done.
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
        options = WorkerOptions(reclaim_after_s=reclaim_after, until_empty=until_empty)
        counts: Counter[Fate] = Counter()
        console = progress_output()
        async with (
            connected(server, console) as client,
            opened(queue, tenant, modality or list(Modality)) as queues,
            aclosing(Worker(client, queues, options).run()) as tries,
        ):
            try:
                async for settled in tries:
                    counts[settled.fate] += 1
                    _tell(settled, as_json, console)
            finally:
                # Also when it is interrupted.
                if not as_json:
                    done, dead = counts[Fate.DONE], counts[Fate.DEAD]
                    output().print(f"[bold green]{done}[/] stored, {dead} dead letters")
        return 0

    run_command(run(), as_json=as_json)


@queue_app.command()
def status(
    queue: QueueOption, tenant: TenantOption = "default", as_json: JsonOption = False
) -> None:
    """How many files wait, are worked on, are delayed and are dead letters."""

    async def run() -> int:
        table = Table("", "waiting", "with a worker", "delayed", "dead", box=None)
        async with opened(queue, tenant, list(Modality)) as queues:
            for each in queues:
                found = await each.status()
                counts = {
                    "waiting": found.waiting_count,
                    "working": found.working_count,
                    "delayed": found.delayed_count,
                    "dead": found.dead_count,
                }
                table.add_row(found.modality.value, *map(str, counts.values()))
                if as_json:
                    print_json({"type": "queue", "modality": found.modality.value, **counts})
        if not as_json:
            output().print(table)
        return 0

    run_command(run(), as_json=as_json)


@queue_app.command()
def dead(
    queue: QueueOption,
    tenant: TenantOption = "default",
    count: Annotated[int, typer.Option(min=1, help="At most so many of each kind.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """The files that were given up, and why."""

    async def run() -> int:
        table = Table("file", "reason", "what happened", "tries", box=None, header_style="dim")
        async with opened(queue, tenant, list(Modality)) as queues:
            for each in queues:
                for letter in await each.dead_letters(count):
                    tries, path = letter.attempt_count, shown_name(letter.file.path)
                    table.add_row(escape(path), letter.reason, escape(letter.message), str(tries))
                    if as_json:
                        print_json(
                            {
                                "type": "dead_letter",
                                "modality": each.modality.value,
                                "path": path,
                                "code": letter.code,
                                "reason": letter.reason,
                                "message": letter.message,
                                "attempt_count": tries,
                            }
                        )
        if not as_json:
            output().print(table if table.row_count else "no dead letters")
        return 0

    run_command(run(), as_json=as_json)


@queue_app.command(name="retry-dead")
def retry_dead(
    queue: QueueOption,
    modality: ModalityOption = None,
    tenant: TenantOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Put dead letters back on their queue, with all their tries again."""

    async def run() -> int:
        async with opened(queue, tenant, modality or list(Modality)) as queues:
            count = sum([await each.retry_dead() for each in queues])
        if as_json:
            print_json({"type": "retried", "count": count})
        else:
            output().print(f"[bold]{count}[/] back on their queue")
        return 0

    run_command(run(), as_json=as_json)


@contextlib.asynccontextmanager
async def opened(
    url: str, tenant: str, modalities: list[Modality]
) -> AsyncIterator[list[ModalityQueue]]:
    """The queues of a server. Raises CommandError for what it reports."""
    with _queue_errors():
        try:
            connection = await connect(url)
        except ValueError as error:
            raise CommandError(f"--queue is no URL of a Redis: {error}") from None
        try:
            yield [ModalityQueue(connection, tenant, modality) for modality in modalities]
        finally:
            await connection.aclose()


@contextlib.contextmanager
def _queue_errors() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise CommandError(
            f"The queue failed: {error}", "Is the Valkey or Redis of --queue running?"
        ) from None


def _tell(settled: Settled, as_json: bool, console: Console) -> None:
    outcome = settled.outcome
    if as_json:
        print_json({"type": "file", **outcome_json(outcome), "fate": settled.fate.value})
    elif outcome.failure is not None:
        fate = "tried again later" if settled.fate is Fate.LATER else "a dead letter now"
        path, message = escape(outcome.file.relative_path), escape(outcome.failure.message)
        console.print(f"[red]{path}[/]: {message} [dim]{fate}[/]")
