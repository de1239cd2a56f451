"""The one place where the client touches the services: to run them and to look at their set-up.

``python -m sensorium_client.launcher PORT`` is the server that a command starts
for itself; it ends when its standard input does, so it never outlives the command.
"""

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensorium_client.terminal import CommandError

if TYPE_CHECKING:
    from services.gateway.access.keys import KeyGrant, KeyStore
    from services.gateway.access.keys import KeyRecord as KeyRecord

# The server of a command is on loopback, where TLS protects nothing.
_WITHOUT_TLS = {"tls_cert_file": None, "tls_key_file": None, "tls_client_ca_file": None}


@dataclass(frozen=True)
class ServerSetup:
    """Where a server of this machine would listen and keep things."""

    host: str
    port: int
    data_dir: Path
    cache_dir: Path


@dataclass(frozen=True)
class ModelState:
    """Whether the weights of a model are here and are the right ones."""

    name: str
    problem: str
    """Empty if all is well."""
    remedy: str
    """What to do about it."""


def run_server(stage: str | None = None, host: str | None = None, port: int | None = None) -> None:
    """Serve one stage, or all, until SIGTERM or SIGINT. Exits with 1 on a bad start."""
    chosen = {"host": host, "port": port}
    _serve(stage, {name: value for name, value in chosen.items() if value is not None})


def _serve(stage: str | None, changes: dict[str, object]) -> None:
    from services.host import serve
    from services.runtime.settings import load_settings

    serve(() if stage is None else (stage,), load_settings().model_copy(update=changes))


def running_server() -> str:
    """Where the server of this machine's data folder said that it listens; empty if none did."""
    from services.runtime.server import LOCK_FILE
    from services.runtime.settings import load_settings

    try:
        return (load_settings().data_dir / LOCK_FILE).read_text().strip()
    except OSError:
        return ""


def server_setup() -> ServerSetup:
    """The settings as a server would read them. Exits with 2 if one is wrong."""
    from services.runtime.settings import load_settings

    settings = load_settings()
    return ServerSetup(settings.host, settings.port, settings.data_dir, settings.cache_dir)


def model_states(setup: ServerSetup) -> list[ModelState]:
    """Check the weights of all models of the preset against their SHA-256."""
    from services.runtime.models import verify_manifest

    return [
        ModelState(
            name=verdict.entry.ref,
            problem="" if verdict.error is None else verdict.error.message,
            remedy="pip install --force-reinstall " + " ".join(verdict.entry.requirements),
        )
        for verdict in verify_manifest(setup.cache_dir)
    ]


@asynccontextmanager
async def key_store() -> AsyncIterator["KeyStore"]:
    """The keys in the database of the settings, which a running server reads too.

    Raises CommandError for what the store refuses.
    """
    from services.gateway.access.keys import KeyStore
    from services.gateway.database.engine import Database
    from services.runtime.errors import SensoriumError
    from services.runtime.settings import load_settings

    database = Database(load_settings())
    try:
        await database.open()
        yield KeyStore(database)
    except SensoriumError as error:
        raise CommandError(error.message) from None
    finally:
        await database.close()


def key_grant(fields: Mapping[str, object]) -> "KeyGrant":
    """What a new key is for, by the names of KeyGrant's fields; call it where a store is open."""
    from services.gateway.access.keys import grant_of

    return grant_of(fields)


def end_with_standard_input(end: Callable[[], None]) -> None:
    """Call ``end`` when this process's standard input ends: its parent is gone."""

    def watch() -> None:
        # Not through sys.stdin: its lock would be held, and a forked child that
        # closes its standard input would wait for it for ever.
        while os.read(0, 1):
            pass
        end()

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_standard_input(lambda: os.kill(os.getpid(), signal.SIGTERM))
    _serve(
        None,
        {"host": "127.0.0.1", "port": int(sys.argv[1]), "http_enabled": False, **_WITHOUT_TLS},
    )
