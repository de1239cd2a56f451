"""What all commands share: where they write, how they fail, how they run."""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from sensorium_client.errors import SensoriumClientError

# What the user asked for goes to one, what happens meanwhile to the other.
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar="SENSORIUM_SERVER",
        metavar="HOST:PORT",
        help="The server to use; https://HOST:PORT over TLS. Without it: the one on "
        "127.0.0.1:50051, or one that is started for this command.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object a line, each with a type.")
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--meta", metavar="KEY=VALUE", help="Metadata, such as project=harbour; can be repeated."
    ),
]

EXIT_INTERRUPTED = 130
_AGE_UNITS_S = {"h": 3600, "d": 86400, "w": 7 * 86400}


class CommandError(Exception):
    """A command cannot go on; ``hint`` says what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def output() -> Console:
    """The console of results."""
    return Console(highlight=False)


def progress_output() -> Console:
    """The console of spinners, bars and errors."""
    return Console(stderr=True, highlight=False)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on a line of its own, at once."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def age_s(text: str) -> float:
    """An age such as 12h, 30d or 4w, in seconds. Raises typer.BadParameter."""
    unit_s = _AGE_UNITS_S.get(text[-1:])
    if unit_s is None or not text[:-1].isdecimal() or not int(text[:-1]):
        raise typer.BadParameter("--since is a number and h, d or w, such as 30d")
    return float(int(text[:-1]) * unit_s)


def parse_metadata(entries: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` options as a mapping. Raises typer.BadParameter."""
    pairs = [entry.partition("=") for entry in entries]
    if not all(key and separator for key, separator, _ in pairs):
        raise typer.BadParameter("metadata is given as KEY=VALUE, such as project=harbour")
    return {key: value for key, _, value in pairs}


def run_command(command: Coroutine[Any, Any, int], *, as_json: bool = False) -> NoReturn:
    """Run a command to its exit code; every expected error becomes one line and a hint."""
    try:
        code = asyncio.run(command)
    except KeyboardInterrupt:
        progress_output().print("interrupted", style="dim")
        code = EXIT_INTERRUPTED
    except SensoriumClientError as error:
        _report(error.message, _hint(error), error.reason, error.code, as_json)
        code = 1
    except CommandError as error:
        _report(error.message, error.hint, "COMMAND_FAILED", "", as_json)
        code = 1
    except BrokenPipeError:
        # Who read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        message = f"{error.filename or 'A file'}: {error.strerror or 'cannot be read'}"
        _report(message, "", "FILE_UNREADABLE", "", as_json)
        code = 1
    raise typer.Exit(code)


def _report(message: str, hint: str, reason: str, code: str, as_json: bool) -> None:
    if as_json:
        print_json({"type": "error", "code": code, "reason": reason, "message": message})
        return
    console = progress_output()
    console.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    if hint:
        console.print(f"[dim]hint:[/]  {escape(hint)}", soft_wrap=True)


def _hint(error: SensoriumClientError) -> str:
    if error.retry_after_s is not None:
        return f"Try again in {error.retry_after_s:.0f} s."
    if error.code == "UNAUTHENTICATED":
        return (
            "`sensorium keys create` makes a key where the server runs; "
            "SENSORIUM_API_KEY hands it to the commands."
        )
    if error.code == "UNAVAILABLE":
        return "Is the server running? `sensorium serve` starts it, `sensorium doctor` looks."
    if error.code == "INTERNAL":
        return "This is the server's fault; its log says more."
    if error.reason == "CONVERSATION_NOT_FOUND":
        return "`sensorium conversations list` shows those there are."
    return f"About: {error.subject}" if error.subject else ""
