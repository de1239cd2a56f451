"""The command ``sensorium``."""

from pathlib import Path
from typing import Annotated

import typer

from sensorium_client.channel import Credentials
from sensorium_client.commands.ask import ask
from sensorium_client.commands.assets import assets
from sensorium_client.commands.conversations import conversations_app
from sensorium_client.commands.delete import delete
from sensorium_client.commands.demo import demo
from sensorium_client.commands.describe import caption, transcribe
from sensorium_client.commands.doctor import doctor
from sensorium_client.commands.download import download
from sensorium_client.commands.fsck import fsck
from sensorium_client.commands.ingest import ingest
from sensorium_client.commands.keys import keys_app
from sensorium_client.commands.queue import enqueue, queue_app, worker
from sensorium_client.commands.search import duplicates, search
from sensorium_client.commands.serve import serve
from sensorium_client.commands.usage import usage
from sensorium_client.connection import chosen_credentials

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
    *(enqueue, worker, serve, usage, fsck, doctor, demo),
)
for command in _COMMANDS:
    app.command()(command)
app.add_typer(conversations_app, name="conversations")
app.add_typer(queue_app, name="queue")
app.add_typer(keys_app, name="keys")

_FileOption = Path | None


@app.callback()
def choose_credentials(
    api_key: Annotated[
        str,
        typer.Option(
            envvar="SENSORIUM_API_KEY",
            metavar="KEY",
            help="Key or token for a server that asks for one. Better in the variable: "
            "others on this machine see what a command line says.",
        ),
    ] = "",
    ca_file: Annotated[
        _FileOption,
        typer.Option(
            envvar="SENSORIUM_CA_FILE",
            help="PEM file of the authorities of an https:// server, if not the public ones.",
        ),
    ] = None,
    cert_file: Annotated[
        _FileOption,
        typer.Option(
            envvar="SENSORIUM_CERT_FILE",
            help="PEM file of your certificate, for a server that asks for one.",
        ),
    ] = None,
    key_file: Annotated[
        _FileOption,
        typer.Option(envvar="SENSORIUM_KEY_FILE", help="PEM file of its private key."),
    ] = None,
) -> None:
    """The options before the command."""
    chosen_credentials.set(
        Credentials(
            api_key=api_key.strip(), ca_file=ca_file, cert_file=cert_file, key_file=key_file
        )
    )


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
