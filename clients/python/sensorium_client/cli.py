"""The command ``sensorium``."""

import typer

from sensorium_client.commands.ask import ask
from sensorium_client.commands.assets import assets
from sensorium_client.commands.delete import delete
from sensorium_client.commands.demo import demo
from sensorium_client.commands.describe import caption, transcribe
from sensorium_client.commands.doctor import doctor
from sensorium_client.commands.download import download
from sensorium_client.commands.fsck import fsck
from sensorium_client.commands.ingest import ingest
from sensorium_client.commands.queue import enqueue, queue_app, worker
from sensorium_client.commands.search import duplicates, search
from sensorium_client.commands.serve import serve

app = typer.Typer(
    name="sensorium",
    help="Media chunks flow in, tokens flow out.\n\n"
    "Ask questions about photos, recordings, films and texts; search them; all over gRPC streams. "
    "Commands use the server that runs, or start one for themselves.\n\n"
    'Start here:  sensorium demo   or   sensorium ask "What is this?" photo.jpg',
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    *(ask, ingest, assets, search, duplicates, download, delete, transcribe, caption),
    *(enqueue, worker, serve, fsck, doctor, demo),
)
for command in _COMMANDS:
    app.command()(command)
app.add_typer(queue_app, name="queue")


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
