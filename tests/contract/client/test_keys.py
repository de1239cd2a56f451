"""``sensorium keys``, as an operator uses it beside a server that runs."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sensorium_client import Client, Credentials, SensoriumClientError

from services.gateway.access.key_check import LOOKUP_TTL_S
from tests.contract.gateway.guarded import Guarded, serve_guarded


@pytest.fixture(scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    async with serve_guarded(tmp_path_factory.mktemp("keys")) as running:
        yield running


async def sensorium(data_dir: Path, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors of a command."""
    environment = {**os.environ, "SENSORIUM_DATA_DIR": str(data_dir), "TERM": "dumb"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sensorium_client.cli", *arguments),
        env={**environment, "COLUMNS": "140"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    return process.returncode, out.decode(), errors.decode()


async def state(guarded: Guarded, key: str) -> str:
    async with Client(guarded.address, Credentials(api_key=key)) as client:
        try:
            await client.find_assets(["0" * 64])
        except SensoriumClientError as error:
            return error.reason
        return "active"


async def test_a_key_is_made_used_listed_and_revoked_while_the_server_runs(
    guarded: Guarded,
) -> None:
    data_dir = guarded.settings.data_dir
    code, out, errors = await sensorium(
        data_dir,
        *("keys", "create", "--tenant", "acme", "--name", "laptop", "--expires", "90d"),
        *("--scopes", "ask, read", "--priority", "bulk", "--user", "ada@example.org"),
    )
    assert code == 0
    # Alone on its line, for a shell to take.
    key = out.strip()
    assert re.fullmatch(r"sk-sensorium-[0-9a-f]{12}-[0-9a-f]{64}", key)
    key_id = key.split("-")[2]
    assert f"sensorium keys revoke {key_id}" in errors
    assert await state(guarded, key) == "active"

    assert (await sensorium(data_dir, "keys", "revoke", key_id))[0] == 0
    await asyncio.sleep(LOOKUP_TTL_S)
    assert await state(guarded, key) == "KEY_REVOKED"

    _, out, _ = await sensorium(data_dir, "keys", "list", "--tenant", "acme", "--json")
    (listed,) = [json.loads(line) for line in out.splitlines()]
    expected: dict[str, Any] = {
        "id": key_id,
        "name": "laptop",
        "tenant": "acme",
        "user": "ada@example.org",
        "scopes": ["ask", "read"],
        "priority": "bulk",
        "state": "revoked",
    }
    assert listed.items() >= expected.items()
    assert listed["create_time"] <= listed["revoke_time"] < listed["expire_time"]
    assert key.rpartition("-")[2] not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--scopes", "ask,all"), "'ask', 'read'"),
        (("create", "--expires", "soon"), "90d"),
        (("revoke", "0123456789ab"), "no key with the id 0123456789ab"),
    ],
)
async def test_what_makes_no_sense_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, errors = await sensorium(tmp_path, "keys", *arguments)
    assert code != 0
    assert out == ""
    assert said in errors
    assert "Traceback" not in errors


async def test_a_command_without_a_key_says_how_to_get_one(guarded: Guarded) -> None:
    server = ("--server", guarded.address)
    code, _, errors = await sensorium(guarded.settings.data_dir, "assets", *server)
    assert code == 1
    assert "sensorium keys create" in errors
    assert "SENSORIUM_API_KEY" in errors


@pytest.mark.parametrize(
    "address", ["https://key@server.example", "ftp://server.example", "https://server.example/v1"]
)
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Client(address)


def test_credentials_do_not_show_their_key() -> None:
    assert "secret" not in repr(Credentials(api_key="secret"))
