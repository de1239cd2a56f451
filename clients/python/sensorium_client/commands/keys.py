"""``sensorium keys``: who may use a server that asks for credentials."""

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from sensorium_client.launcher import key_grant, key_store
from sensorium_client.terminal import (
    JsonOption,
    output,
    print_json,
    progress_output,
    run_command,
)

if TYPE_CHECKING:
    from sensorium_client.launcher import KeyRecord

keys_app = typer.Typer(
    help="Make, list and revoke the keys of a server with SENSORIUM_AUTH=required.\n\n"
    "They are in the database of the settings (SENSORIUM_DATA_DIR or SENSORIUM_DATABASE_URL): run "
    "these commands where the server runs, also while it does.",
    no_args_is_help=True,
)

_UNIT_S = {"m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhd])")


def _duration_s(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter("give a time such as 90d, 12h or 30m")
    return float(int(match[1]) * _UNIT_S[match[2]])


@keys_app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Whose data it opens.")] = "default",
    user: Annotated[str, typer.Option(help="User of the tenant that it acts for.")] = "",
    scopes: Annotated[
        str,
        typer.Option(
            metavar="SCOPE,...",
            help="What it is good for: ask, read, write, delete, admin, operate.",
        ),
    ] = "ask,read,write,delete",
    expires: Annotated[
        float | None,
        typer.Option(
            parser=_duration_s,
            metavar="TIME",
            help="When it ends, such as 90d or 12h. Without it: never.",
        ),
    ] = None,
    priority: Annotated[
        str, typer.Option(help="Which of its calls wait for which: high, normal or bulk.")
    ] = "normal",
    name: Annotated[str, typer.Option(help="For you, to know it by.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it. It cannot be shown again: only a hash of it is kept.

    Examples:

      export SENSORIUM_API_KEY=$(sensorium keys create --name laptop)

      sensorium keys create --tenant acme --user ada --scopes ask,read --expires 90d
    """

    async def run() -> int:
        async with key_store() as store:
            grant = key_grant(
                {
                    "tenant_id": tenant,
                    "user_id": user,
                    "scopes": [scope.strip() for scope in scopes.split(",")],
                    "priority": priority,
                    "name": name,
                    "expire_time_s": None if expires is None else time.time() + expires,
                }
            )
            record, key = await store.create(grant)
        if as_json:
            print_json({"type": "key", "key": key, **_shown(record)})
        else:
            print(key)
            progress_output().print(
                f"Keep it: it is not shown again. `sensorium keys revoke {record.key_id}` ends it.",
                style="dim",
            )
        return 0

    run_command(run(), as_json=as_json)


@keys_app.command(name="list")
def list_keys(
    tenant: Annotated[str, typer.Option(help="Only those of this tenant.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List keys, the newest first; not their secrets, which nobody has."""

    async def run() -> int:
        async with key_store() as store:
            records = await store.list(tenant)
        if as_json:
            for record in records:
                print_json({"type": "key", **_shown(record)})
        elif records:
            _print(records)
        else:
            output().print("There are no keys. `sensorium keys create` makes one.")
        return 0

    run_command(run(), as_json=as_json)


@keys_app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `sensorium keys list` shows it.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key worthless, for good. A running server refuses it within 2 seconds."""

    async def run() -> int:
        async with key_store() as store:
            record = await store.revoke(key_id)
        if as_json:
            print_json({"type": "key", **_shown(record)})
        else:
            output().print(f"revoked: {record.key_id} {escape(record.grant.name)}".rstrip())
        return 0

    run_command(run(), as_json=as_json)


def _state(record: "KeyRecord") -> str:
    if record.revoke_time_s is not None:
        return "revoked"
    expire_time_s = record.grant.expire_time_s
    return "expired" if expire_time_s is not None and expire_time_s <= time.time() else "active"


def _shown(record: "KeyRecord") -> dict[str, Any]:
    grant = record.grant
    return {
        "id": record.key_id,
        "name": grant.name,
        "tenant": grant.tenant_id,
        "user": grant.user_id,
        "scopes": sorted(grant.scopes),
        "priority": grant.priority,
        "state": _state(record),
        "create_time": _time(record.create_time_s),
        "expire_time": _time(grant.expire_time_s),
        "revoke_time": _time(record.revoke_time_s),
    }


def _time(seconds: float | None) -> str | None:
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat("T", "seconds")
    )


def _print(records: list["KeyRecord"]) -> None:
    table = Table("id", "name", "tenant", "user", "scopes", "priority", "expires", "", box=None)
    for record in records:
        grant, state = record.grant, _state(record)
        table.add_row(
            record.key_id,
            escape(grant.name),
            grant.tenant_id,
            escape(grant.user_id),
            ",".join(sorted(grant.scopes)),
            grant.priority,
            _time(grant.expire_time_s) or "never",
            state if state == "active" else f"[red]{state}[/]",
        )
    output().print(table)
